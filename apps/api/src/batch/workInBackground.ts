import { failPoint } from "@comfyq/runtime";
import type { Rooms } from "../rooms.ts";

/** Makes or cancels the jobs of a batch, after the answer. Whatever keeps it from it, a dispatcher goes on within seconds. */
export function workInBackground({ producer, closing, logger }: Rooms, batchId: string): void {
  const onStep = (batch: string) => failPoint("batch_step", { batch });
  producer.batches.work(batchId, { signal: closing, onStep }).catch((error: unknown) => {
    logger.warn({ batchId, cause: error }, "the jobs of a batch are left to the dispatcher");
  });
}
