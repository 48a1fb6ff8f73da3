import * as z from "zod";
import { Moment, Uuid } from "./ids.ts";

export const ScheduleName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9_-]{0,62}$/, "1-63 of a-z 0-9 _ - and starting with a letter or digit")
  .meta({ description: "Name of a schedule; unique among a tenant's" });

/** Which batch made a job, and of which of its rows, from 0. */
export const BatchOrigin = z.object({ id: Uuid, row: z.int().nonnegative() });
export type BatchOrigin = z.infer<typeof BatchOrigin>;

/** Which schedule made a job, and at which of its moments. */
export const ScheduleOrigin = z.object({ name: ScheduleName, tick_at: Moment });
export type ScheduleOrigin = z.infer<typeof ScheduleOrigin>;

/** What a client of ComfyUI's own API knows of the job that its prompt became. */
export const PromptOrigin = z.object({
  /** Priority as ComfyUI counts it; smaller runs first. */
  number: z.number(),
  /** Whose websocket hears of it; null: every one of the tenant's. */
  client_id: z.string().nullable(),
  /** The output nodes that run. */
  outputs: z.array(z.string()),
  /** There are others in the graph, which do not run: they were invalid, or not asked for. */
  is_partial: z.boolean(),
});
export type PromptOrigin = z.infer<typeof PromptOrigin>;

/** What made a job, where it was no request of its own. */
export interface JobOrigin {
  readonly prompt?: PromptOrigin | undefined;
  readonly batch?: BatchOrigin | undefined;
  readonly schedule?: ScheduleOrigin | undefined;
}
