import { DEFAULT_POOL, ICU_WORKFLOW, JOB_EVENT_TYPES, type WebhookRequest } from "@comfyq/contract";
import { parseJson } from "../../body/parseJson.ts";
import { zodFaults } from "../../body/zodFaults.ts";
import { ApiError } from "../../errors.ts";
import type { Rooms } from "../../rooms.ts";
import type { Call } from "../../route.ts";
import { type ReadBody, readNewJob, refuseLookalikes } from "../../submit/readSubmission.ts";
import { readExtraHeaders } from "../extraHeaders.ts";
import { IcuNewRun } from "./icuSchemas.ts";

/** Its webhooks tell of the start and of every end. */
const TOLD: WebhookRequest["events"] = JOB_EVENT_TYPES.filter((type) =>
  ["job.started", "job.succeeded", "job.failed", "job.canceled", "job.expired"].includes(type),
);

/** The tag by which the runs of one workflow are found. */
export function icuTag(workflowId: string): string {
  return `icu:${workflowId}`;
}

/**
 * Bytes → the same job that `POST /v1/jobs` takes.
 * @throws ApiError `invalid_json` | `invalid_request` | `invalid_workflow` | `workflow_format_ui`
 */
export async function readIcuRun(rooms: Rooms, call: Call, bytes: Buffer): Promise<ReadBody> {
  const body = parseJson(bytes, '{"prompt": {…}}');
  const workflowId = call.params["workflow_id"] ?? "";
  const run = checkForm(body, workflowId);
  refuseLookalikes({ workflow: run.prompt });
  const { tags = [], ...extras } = readExtraHeaders(call.req);
  const ours = {
    pool: await poolFor(rooms, run.accelerator),
    ...(run.webhook !== undefined && { webhook: { url: run.webhook, events: TOLD, format: "comfyicu" } }),
    ...extras,
    workflow: run.prompt,
    files: run.files ?? {},
    metadata: { [ICU_WORKFLOW]: workflowId },
    tags: [icuTag(workflowId), ...[tags].flat()],
  };
  const sealer = { box: rooms.secretBox, tenant: call.caller.tenant };
  return readNewJob(ours, { bytes: undefined, sealer });
}

function checkForm(body: unknown, workflowId: string): IcuNewRun {
  const parsed = IcuNewRun.safeParse(body);
  if (!parsed.success) {
    const details = zodFaults(parsed.error, Object.keys(IcuNewRun.shape));
    const first = details[0] ? `: ${details[0].path} ${details[0].message}` : "";
    throw new ApiError("invalid_request", `The run cannot be taken${first}`, { details });
  }
  const { workflow_id: named } = parsed.data;
  if (named === undefined || named === workflowId) return parsed.data;
  const details = [{ path: "workflow_id", message: `is not ${JSON.stringify(workflowId)}, which the path names` }];
  throw new ApiError("invalid_request", "The path and the body name two workflows; name one", { details });
}

/** An accelerator is a wish: where nobody has ever served a pool of its name, the default pool runs it. */
async function poolFor({ producer }: Rooms, accelerator: string | undefined): Promise<string> {
  const wanted = accelerator?.toLowerCase();
  if (wanted === undefined) return DEFAULT_POOL;
  const pools = await producer.pools();
  return pools.some(({ pool }) => pool === wanted) ? wanted : DEFAULT_POOL;
}
