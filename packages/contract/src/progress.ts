import * as z from "zod";
import { JobFailure } from "./jobErrors.ts";
import { JobStage, JobStatus } from "./jobStatus.ts";
import { OutputType } from "./output.ts";

/** How far a running job is; every snapshot is complete (Comfy API v2's Progress). */
export const Progress = z
  .object({
    value: z.number().min(0).max(1),
    nodes_done: z.int().nonnegative(),
    nodes_total: z.int().nonnegative(),
    current_node: z.string().nullable(),
    current_node_class: z.string().nullable(),
    step: z.int().nonnegative().nullable(),
    steps: z.int().nonnegative().nullable(),
    message: z.string().nullable(),
  })
  .meta({ id: "Progress" });
export type Progress = z.infer<typeof Progress>;

/** A result that is in the store, of a job that has not ended yet. */
export const ShownOutput = z.object({
  node_id: z.string(),
  name: z.string(),
  type: OutputType,
  size_bytes: z.int().nullable(),
});

/** What a job's event stream carries, in order. The SSE event name is `event`, its data is `data`. */
export const JobEvent = z.discriminatedUnion("event", [
  z.object({
    event: z.literal("status"),
    data: z.object({ status: JobStatus, stage: JobStage.nullable(), attempt: z.int(), error: JobFailure.nullable() }),
  }),
  z.object({ event: z.literal("progress"), data: Progress.extend({ attempt: z.int() }) }),
  z.object({
    event: z.literal("preview"),
    data: z.object({ node_id: z.string().nullable(), content_type: z.string(), data_base64: z.string() }),
  }),
  z.object({
    event: z.literal("output"),
    data: ShownOutput,
  }),
  z.object({ event: z.literal("log"), data: z.object({ message: z.string() }) }),
]);
export type JobEvent = z.infer<typeof JobEvent>;
