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

/** What made a job, where it was no request of its own. */
export interface JobOrigin {
  readonly batch?: BatchOrigin | undefined;
  readonly schedule?: ScheduleOrigin | undefined;
}
