import { z } from "zod";

const Fields = z.record(z.string(), z.unknown());

/**
 * One item of `GET /queue`: `[number, promptId, graph, extraData, outputNodeIds]` locally and
 * `[number, promptId, graph, outputNodeIds, { create_time }]` on Comfy Cloud (§6.1).
 */
export const QueueItem = z
  .tuple([
    z.number(),
    z.string(),
    Fields,
    z.union([Fields, z.array(z.string())]),
    z.union([z.array(z.string()), Fields]),
  ])
  .rest(z.unknown());
export type QueueItem = z.infer<typeof QueueItem>;

/** `GET /queue`. `queue_pending` is in heap order, not in execution order: sort by `(number, promptId)`. */
export const QueueAnswer = z.looseObject({
  queue_running: z.array(QueueItem),
  queue_pending: z.array(QueueItem),
});
export type QueueAnswer = z.infer<typeof QueueAnswer>;

/** `POST /queue` and `POST /history`: always answered 200 with an empty body, whatever the ids are. */
export const ClearOrDelete = z.looseObject({
  clear: z.boolean().optional(),
  delete: z.array(z.string()).optional(),
});
export type ClearOrDelete = z.infer<typeof ClearOrDelete>;

/** `POST /interrupt`. Without `prompt_id` (and before 0.3.56 always) whatever runs now is interrupted. */
export const InterruptRequest = z.looseObject({ prompt_id: z.string().optional() });
export type InterruptRequest = z.infer<typeof InterruptRequest>;

/** `POST /free`, carried out by the worker thread after the current prompt. */
export const FreeRequest = z.looseObject({
  unload_models: z.boolean().optional(),
  free_memory: z.boolean().optional(),
});
export type FreeRequest = z.infer<typeof FreeRequest>;
