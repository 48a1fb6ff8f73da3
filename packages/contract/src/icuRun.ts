import * as z from "zod";
import { Moment } from "./ids.ts";
import type { Job } from "./job.ts";
import type { JobStatus } from "./jobStatus.ts";

/** Where a job keeps which workflow of ComfyICU it is a run of: in its `metadata`. */
export const ICU_WORKFLOW = "icu_workflow_id";

/** Which workflow of ComfyICU a run may be of. It is a name to find runs by, and no more. */
export const IcuWorkflowId = z.string().regex(/^[A-Za-z0-9_-]{1,48}$/, "1-48 of A-Z a-z 0-9 _ -");

/** What ComfyICU documents are the two ends; its clients poll until they see one of them. */
const STATUSES = {
  queued: "QUEUED",
  running: "RUNNING",
  canceling: "RUNNING",
  succeeded: "COMPLETED",
  failed: "ERROR",
  canceled: "ERROR",
  expired: "ERROR",
} as const satisfies Record<JobStatus, string>;

/** A job as ComfyICU shows it: what its API answers, and the body of its webhooks (docs at comfy.icu/docs/api). */
export const IcuRun = z
  .object({
    id: z.string(),
    workflow_id: z.string().nullable(),
    status: z.enum(["QUEUED", "RUNNING", "COMPLETED", "ERROR"]),
    created_at: Moment,
    started_at: Moment.nullable(),
    completed_at: Moment.nullable(),
    updated_at: Moment,
    run_time: z.number().nullable().meta({ description: "Seconds from start to end" }),
    output: z.array(
      z.object({
        filename: z.string(),
        url: z.string(),
        content_type: z.string().nullable(),
        size: z.int().nullable(),
        node_id: z.string(),
        thumbnail_url: z.string().nullable(),
      }),
    ),
    error: z.string().nullable(),
  })
  .meta({ id: "IcuRun" });
export type IcuRun = z.infer<typeof IcuRun>;

/** Pure. Only files are a run's output there, so values are left out. */
export function icuRunOf(job: Job): IcuRun {
  const { id, status, created_at, started_at, completed_at, metadata, outputs, error } = job;
  const workflowId = metadata[ICU_WORKFLOW];
  return {
    id,
    workflow_id: typeof workflowId === "string" ? workflowId : null,
    status: STATUSES[status],
    created_at,
    started_at,
    completed_at,
    updated_at: completed_at ?? started_at ?? created_at,
    run_time: started_at && completed_at ? (Date.parse(completed_at) - Date.parse(started_at)) / 1_000 : null,
    output: outputs.flatMap((output) => fileOf(output)),
    error: error?.message ?? (STATUSES[status] === "ERROR" ? `The run was ${status}` : null),
  };
}

function fileOf({ name, url, content_type, size_bytes, node_id, thumbnail }: Job["outputs"][number]): IcuRun["output"] {
  if (url === undefined) return [];
  const facts = { content_type: content_type ?? null, size: size_bytes ?? null, thumbnail_url: thumbnail?.url ?? null };
  return [{ filename: name, url, node_id, ...facts }];
}
