import type { ShownEntry } from "../comfyui/promptHistory.ts";

/** Pure. One item of `GET /api/queue` as Comfy Cloud has it: the place counts from 1, and the last part says when it came. */
export function cloudQueueItem([, id, graph, extraData, outputs]: ShownEntry["prompt"], at: number) {
  return [at + 1, id, graph, outputs, { create_time: extraData["create_time"] }];
}
