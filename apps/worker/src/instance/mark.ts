import * as z from "zod";

/** What every prompt of ours carries in its `extra_data.comfyq`. */
const Mark = z.union([
  z.object({ job_id: z.string(), epoch: z.number() }),
  z.object({ canary: z.literal(true) }).transform(() => "canary" as const),
]);

/** Whose prompt it is: an attempt's at a job. */
export type JobMark = Exclude<z.infer<typeof Mark>, "canary">;

/** Reads a prompt's mark; undefined for prompts that are not ours. */
export function markOf(extraData: Readonly<Record<string, unknown>>): JobMark | "canary" | undefined {
  return Mark.safeParse(extraData["comfyq"]).data;
}
