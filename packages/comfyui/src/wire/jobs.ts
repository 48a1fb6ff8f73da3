import { z } from "zod";
import { HistoryStatus, NodeOutput } from "./history.ts";

/** `cancelled` since 0.8.2; before, an interrupted job was `failed`. */
export const JobStatus = z.enum(["pending", "in_progress", "completed", "failed", "cancelled"]);
export type JobStatus = z.infer<typeof JobStatus>;

/**
 * One job of `GET /api/jobs` (≥ 0.5.1). Keys whose value would be null are left out. Times are ms (Unix) on a local
 * server; Comfy Cloud's documents disagree between s and ms.
 */
export const Job = z.looseObject({
  id: z.string(),
  status: JobStatus,
  priority: z.number().optional(),
  create_time: z.number().optional(),
  execution_start_time: z.number().optional(),
  execution_end_time: z.number().optional(),
  execution_error: z.record(z.string(), z.unknown()).optional(),
  outputs_count: z.number().optional(),
  previewable_outputs_count: z.number().optional(),
  preview_output: z.record(z.string(), z.unknown()).optional(),
  workflow_id: z.string().optional(),
  outputs: z.record(z.string(), NodeOutput.nullable()).optional(),
  execution_status: HistoryStatus.nullable().optional(),
  workflow: z.looseObject({ prompt: z.unknown().optional(), extra_data: z.unknown() }).optional(),
});
export type Job = z.infer<typeof Job>;

/** `GET /api/jobs`. */
export const JobsAnswer = z.looseObject({
  jobs: z.array(Job),
  pagination: z.looseObject({
    offset: z.number(),
    limit: z.number().nullable(),
    total: z.number(),
    has_more: z.boolean(),
  }),
});
export type JobsAnswer = z.infer<typeof JobsAnswer>;

/** Answer of `POST /api/jobs/{id}/cancel` (≥ 0.25): false for finished and unknown ids. Cloud may return ids. */
export const CancelAnswer = z.looseObject({ cancelled: z.union([z.boolean(), z.array(z.string())]) });
export type CancelAnswer = z.infer<typeof CancelAnswer>;

/** Comfy Cloud's `GET /api/job/{id}/status`: `status` is a raw state, open-ended (§6.1). */
export const CloudJobStatus = z.looseObject({
  status: z.string(),
  error_message: z.string().nullable().optional(),
});
export type CloudJobStatus = z.infer<typeof CloudJobStatus>;
