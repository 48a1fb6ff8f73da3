import {
  type EndedPrompt,
  endedJobView,
  isObject,
  type JobView,
  jobsAnswer,
  openJobView,
  readJobsQuery,
  wholeJobView,
} from "@comfyq/comfyui/wire";
import { isTerminal, type JobFacts, JobId } from "@comfyq/contract";
import type { Rooms } from "../../rooms.ts";
import type { Call, Route } from "../../route.ts";
import { inCloudWords, inComfyWords, showsKind } from "../cloud/cloudJobs.ts";
import { isCloudClient } from "../cloud/isCloudClient.ts";
import { cancelOpen } from "./cancelOpen.ts";
import { comfyRoute } from "./comfyRoute.ts";
import { promptHistory, type ShownEntry } from "./promptHistory.ts";
import { MOST_OPEN } from "./queue.ts";
import { readFields } from "./readFields.ts";

/** As the newest servers show them. */
const PROFILE = { knowsCancelledJobs: true, countsPreviewableOutputs: true };
/** Ended jobs that one answer looks at, the newest. */
const MOST_ENDED = 1_000;
const MOST_CANCELED = 1_000;

/** ComfyUI's jobs API, under `/api` only. */
export function jobRoutes(rooms: Rooms): readonly Route[] {
  const shared = { isApiOnly: true } as const;
  return [
    ...comfyRoute({
      ...shared,
      method: "get",
      path: "/api/jobs",
      scope: "read",
      summary: "Your jobs, open and ended; of the ended ones the newest 1000",
      run: (call) => listJobs(rooms, call),
    }),
    ...comfyRoute({
      ...shared,
      method: "post",
      path: "/api/jobs/cancel",
      scope: "cancel",
      summary: "Cancel several: { job_ids: [ids] }",
      run: (call) => cancelMany(rooms, call),
    }),
    ...comfyRoute({
      ...shared,
      method: "get",
      path: "/api/jobs/{job_id}",
      scope: "read",
      summary: "One job with all that is known",
      run: async (call) => {
        const job = await oneJob(rooms, call.caller.tenant, call.params["job_id"] ?? "");
        if (job) call.res.json(isCloudClient(call) ? inCloudWords(job) : job);
        else call.res.status(404).json({ error: "Job not found" });
      },
    }),
    ...comfyRoute({
      ...shared,
      method: "post",
      path: "/api/jobs/{job_id}/cancel",
      scope: "cancel",
      summary: "Cancel a job that waits or runs",
      run: async (call) => {
        const id = call.params["job_id"] ?? "";
        call.res.json({ cancelled: await cancelOpen(rooms, call.caller.tenant, { id }) });
      },
    }),
  ];
}

async function listJobs(rooms: Rooms, call: Call): Promise<void> {
  const { searchParams } = new URL(call.req.url, "http://localhost");
  const isCloud = isCloudClient(call);
  const asked = readJobsQuery(isCloud ? inComfyWords(searchParams) : searchParams);
  if ("error" in asked) return void call.res.status(400).json(asked);
  const jobs = await allJobs(rooms, call.caller.tenant);
  if (!isCloud) return void call.res.json(jobsAnswer(jobs, asked));
  const kind = searchParams.get("output_type");
  const wanted = kind === null ? jobs : jobs.filter((job) => showsKind(job, kind));
  call.res.json(jobsAnswer(wanted.map(inCloudWords), asked));
}

async function allJobs(rooms: Rooms, tenant: string): Promise<readonly JobView[]> {
  const { prompts } = rooms.producer;
  const [open, ids] = await Promise.all([
    prompts.open(tenant, MOST_OPEN),
    prompts.ended(tenant, { maxItems: MOST_ENDED, offset: undefined }),
  ]);
  const opened = await Promise.all(open.map((job) => openJob(rooms, job)));
  const ended = await Promise.all(ids.map((id) => promptHistory(rooms, tenant, id)));
  return [...opened, ...ended.map((entry) => entry && endedJobView(endedPrompt(entry), PROFILE))].filter(
    (job) => job !== undefined,
  );
}

async function oneJob(rooms: Rooms, tenant: string, id: string): Promise<JobView | undefined> {
  const job = JobId.safeParse(id).success ? await rooms.producer.read(tenant, id) : undefined;
  if (!job) return undefined;
  if (!isTerminal(job.status)) return openJob(rooms, job);
  const entry = (await rooms.producer.prompts.isInHistory(tenant, id)) && (await promptHistory(rooms, tenant, id));
  return entry ? wholeJobView(endedPrompt(entry), PROFILE) : undefined;
}

async function openJob({ producer }: Rooms, { id, tenant, status }: JobFacts): Promise<JobView | undefined> {
  const papers = await producer.prompts.papers(tenant, id);
  if (!papers) return undefined;
  const extraData = { create_time: papers.createdAtMs, ...papers.extraData };
  const shown = { promptId: id, number: papers.prompt?.number ?? 0, extraData };
  return openJobView({ ...shown, status: status === "queued" ? "pending" : "in_progress" }, PROFILE);
}

/** Nodes may return a bare value where ComfyUI's own return a list. */
function endedPrompt({ prompt, outputs, status }: ShownEntry): EndedPrompt {
  const listed = Object.entries(outputs).map(([id, output]) => {
    const lists = Object.entries(output ?? {}).map(([key, value]) => [key, Array.isArray(value) ? value : [value]]);
    return [id, Object.fromEntries(lists)];
  });
  return { prompt, outputs: Object.fromEntries(listed), status };
}

async function cancelMany(rooms: Rooms, call: Call): Promise<void> {
  const fields = await readFields(rooms, call);
  const ids = isObject(fields) ? fields["job_ids"] : undefined;
  const refuse = (error: string, more: object = {}) => void call.res.status(400).json({ error, ...more });
  if (!Array.isArray(ids)) return refuse("job_ids must be a list");
  if (ids.length > MOST_CANCELED) return refuse(`job_ids holds more than ${MOST_CANCELED} ids`);
  const invalid_ids = ids.filter((id) => !JobId.safeParse(id).success).map(String);
  if (invalid_ids.length > 0) return refuse("job_ids contains invalid id(s)", { invalid_ids });
  let cancelled = false;
  for (const id of ids) cancelled = (await cancelOpen(rooms, call.caller.tenant, { id: String(id) })) || cancelled;
  call.res.json({ cancelled });
}
