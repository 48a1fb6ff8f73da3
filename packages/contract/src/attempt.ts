import * as z from "zod";
import { Moment } from "./ids.ts";
import { JobFailure } from "./jobErrors.ts";
import { JobStage } from "./jobStatus.ts";

/** How one try ended. `given_back`: no fault of the job (drain, lost lock, instance away); it does not count. */
export const AttemptEnd = z.enum(["succeeded", "failed", "canceled", "expired", "given_back"]);
export type AttemptEnd = z.infer<typeof AttemptEnd>;

/** How this attempt's prompt was made to stop, after a cancel, a deadline or a lost lock. */
export const StopReport = z
  .object({
    stop_ms: z.number().nonnegative().nullable().meta({
      description: "From the wish to stop until ComfyUI no longer ran or queued the prompt; null: never confirmed",
    }),
    ignored_by: z
      .object({ node_id: z.string(), class_type: z.string().nullable() })
      .nullable()
      .meta({ description: "The node that ignored interrupts" }),
    escalation: z
      .enum(["none", "free", "restart"])
      .meta({ description: "How far it had to go: interrupt only, free memory, the operator's restart command" }),
  })
  .meta({ id: "StopReport" });
export type StopReport = z.infer<typeof StopReport>;

/**
 * One try at a job on one instance, and its journal: `prompt_id` is written before ComfyUI hears it, so that a lost
 * answer, or a lost worker, leaves a name to look for (promise I11). An attempt without `ended_at` is running or died.
 */
export const Attempt = z
  .object({
    epoch: z.int().positive().meta({ description: "Rises strictly with every start" }),
    worker: z.string(),
    instance: z.string(),
    instance_id: z.string().nullish(), // attempts written before it was kept have none
    stage: JobStage,
    started_at: Moment,
    ended_at: Moment.nullable(),
    end: AttemptEnd.nullable(),
    counted: z.boolean().meta({ description: "Did it use up one of max_attempts?" }),
    prompt_id: z.string().nullable(),
    prepare_ms: z.number().nullable(),
    render_ms: z.number().nullable(),
    store_ms: z.number().nullable(),
    error: JobFailure.nullable(),
    stop: StopReport.nullable().default(null), // attempts written before it was kept have none
  })
  .meta({ id: "Attempt" });
export type Attempt = z.infer<typeof Attempt>;

/**
 * May ComfyUI still run, queue or remember this attempt's prompt, so that its job can go on from there without another
 * render? When it ended without saying how, when it was given back, and when only its files could not be stored.
 */
export function mayHaveLeftPrompt(attempt: Attempt): attempt is Attempt & { prompt_id: string } {
  const { prompt_id, end, error } = attempt;
  return prompt_id !== null && (end === null || end === "given_back" || error?.code === "output_push_failed");
}
