import { HistoryStatus, JobStatus, NodeMeta, NodeOutput } from "@comfyq/comfyui/wire";
import { Moment } from "@comfyq/contract";
import * as z from "zod";

/** `GET /api/job/{id}/status`. */
export const CloudStatus = z
  .object({
    id: z.string(),
    status: JobStatus,
    created_at: Moment,
    updated_at: Moment,
    last_state_update: Moment,
    assigned_inference: z
      .string()
      .nullable()
      .meta({ description: "The ComfyUI that ran, or runs, the newest attempt" }),
    error_message: z.string().nullable(),
  })
  .meta({ id: "CloudJobStatus" });
export type CloudStatus = z.infer<typeof CloudStatus>;

const ExtraData = z.record(z.string(), z.unknown());
const Told = {
  outputs: z
    .record(z.string(), NodeOutput.nullable())
    .meta({ description: "By node; filename alone is what /api/view wants" }),
  status: HistoryStatus,
  meta: z.record(z.string(), NodeMeta).optional(),
};
const CloudPrompt = z.object({ priority: z.number(), prompt_id: z.string(), extra_data: ExtraData });

/** One ended job. */
const CloudEntry = z
  .object({
    prompt: CloudPrompt.extend({ prompt: z.record(z.string(), z.unknown()), outputs_to_execute: z.array(z.string()) }),
    ...Told,
  })
  .meta({ id: "CloudHistoryEntry" });
export type CloudEntry = z.infer<typeof CloudEntry>;

/** `GET /api/history_v2/{id}`: by prompt_id; empty while the job has not ended. */
export const CloudHistory = z.record(z.string(), CloudEntry);

/** The same without its graph. */
const CloudListed = z
  .object({
    prompt_id: z.string(),
    create_time: z.number().meta({ description: "Unix, in ms" }),
    workflow_id: z.string().optional(),
    prompt: CloudPrompt,
    ...Told,
  })
  .meta({ id: "CloudHistoryListed" });
export type CloudListed = z.infer<typeof CloudListed>;

/** `GET /api/history_v2`. */
export const CloudHistoryPage = z.object({ history: z.array(CloudListed) });

/** `GET /api/user`. */
export const CloudUser = z.object({ status: z.literal("active") }).meta({ id: "CloudUser" });
