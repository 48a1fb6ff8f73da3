import * as z from "zod";

/** What the dispatcher's own clock fires: errands that keep the house in order. */
export const ErrandName = z.enum(["sweep_retention", "sweep_expired", "sweep_storage", "care_for_batches"]);
export type ErrandName = z.infer<typeof ErrandName>;

/** One firing of that clock. */
export const ErrandTick = z.object({ v: z.literal(1), errand: ErrandName });
export type ErrandTick = z.infer<typeof ErrandTick>;
