import { ICU_WORKFLOW, IcuRun, IcuWorkflowId, icuRunOf, type JobFacts, JobId } from "@comfyq/contract";
import { newId } from "@comfyq/runtime";
import * as z from "zod";
import { readBody } from "../../body/readBody.ts";
import { notFound } from "../../errors.ts";
import { showJob } from "../../presentJob.ts";
import type { Rooms } from "../../rooms.ts";
import { type Call, json, type Route, route } from "../../route.ts";
import { checkSubmission } from "../../submit/checkSubmission.ts";
import { queueJob } from "../../submit/queueJob.ts";
import { EXTRA_HEADERS } from "../extraHeaders.ts";
import { IcuNewRun, IcuRuns } from "./icuSchemas.ts";
import { icuTag, readIcuRun } from "./readIcuRun.ts";

const RUNS = "/api/v1/workflows/{workflow_id}/runs";
const Params = z.object({ workflow_id: IcuWorkflowId });
const RunParams = Params.extend({ id: JobId });
/** Runs of one answer: ComfyICU documents no pages. */
const MOST_RUNS = 100;

/** ComfyICU's API: runs of a workflow, which is a name to find them by. */
export function icuRoutes(rooms: Rooms): readonly Route[] {
  const shared = { tag: "ComfyICU", params: Params } as const;
  return [
    route({
      ...shared,
      method: "post",
      path: RUNS,
      scope: "submit",
      summary: "Run a workflow",
      headers: EXTRA_HEADERS,
      body: { "application/json": { schema: IcuNewRun } },
      answers: { 200: json("The run, durable and queued", IcuRun) },
      errors: [
        "not_found",
        "invalid_json",
        "invalid_request",
        "invalid_workflow",
        "workflow_format_ui",
        "payload_too_large",
        "unsupported_media_type",
        "queue_full",
      ],
      run: (call) => submitRun(rooms, call),
    }),
    route({
      ...shared,
      method: "get",
      path: RUNS,
      scope: "read",
      summary: "List the newest runs of a workflow, 100 at most",
      answers: { 200: json("Newest first", IcuRuns) },
      errors: ["not_found"],
      run: async (call) => {
        const tag = icuTag(workflowIdOf(call));
        const { jobs } = await rooms.producer.list({ tenant: call.caller.tenant, tag, limit: MOST_RUNS });
        call.res.json(await Promise.all(jobs.map((facts) => showRun(rooms, call, facts))));
      },
    }),
    route({
      ...shared,
      params: RunParams,
      method: "get",
      path: `${RUNS}/{id}`,
      scope: "read",
      summary: "Read a run",
      answers: { 200: json("The run", IcuRun) },
      errors: ["not_found"],
      run: async (call) => void call.res.json(await showRun(rooms, call, await ownRun(rooms, call))),
    }),
  ];
}

async function submitRun(rooms: Rooms, call: Call): Promise<void> {
  workflowIdOf(call);
  const { tenant } = call.caller;
  const bytes = await readBody(call.req, rooms.settings.COMFYQ_MAX_BODY_BYTES);
  const read = await readIcuRun(rooms, call, bytes);
  const job = await checkSubmission(rooms, tenant, read.job);
  const { sealedSecrets, fingerprint } = read;
  const submission = { id: newId(), job, sealedSecrets, bodySha256: fingerprint.bodySha256 };
  const { facts } = await queueJob(rooms, tenant, submission);
  call.res.json(await showRun(rooms, call, facts));
}

async function showRun(rooms: Rooms, call: Call, facts: JobFacts): Promise<IcuRun> {
  return icuRunOf(await showJob(rooms, call, facts));
}

/** @throws ApiError `not_found` */
function workflowIdOf({ params }: Call): string {
  const id = params["workflow_id"] ?? "";
  if (!IcuWorkflowId.safeParse(id).success) throw notFound("workflow", id);
  return id;
}

/** The caller's run of this workflow. @throws ApiError `not_found`, the same for unknown ids and for somebody else's */
async function ownRun({ producer }: Rooms, call: Call): Promise<JobFacts> {
  const id = call.params["id"] ?? "";
  const facts = JobId.safeParse(id).success ? await producer.read(call.caller.tenant, id) : undefined;
  if (!facts || facts.metadata[ICU_WORKFLOW] !== workflowIdOf(call)) throw notFound("run", id);
  return facts;
}
