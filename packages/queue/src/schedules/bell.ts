import { sleep } from "../clock.ts";
import type { QueueRoom } from "../room.ts";
import { sweepSchedules } from "./alarms.ts";

/**
 * Rings for overdue schedules, in every dispatcher, by the time that passes and not by what its clock shows: an alarm of
 * BullMQ that was set by a clock an hour ahead is an hour late. Two that ring at once ring once.
 * @returns a function that stops it
 */
export function startBell(room: QueueRoom, onTrouble: ((error: Error) => void) | undefined): () => Promise<void> {
  const closing = new AbortController();
  const ring = async () => {
    while (!closing.signal.aborted) {
      await sweepSchedules(room).catch((error: unknown) =>
        onTrouble?.(error instanceof Error ? error : new Error(String(error))),
      );
      await sleep(room.settings.sweepSchedulesEveryMs, closing.signal);
    }
  };
  const stopped = ring();
  return () => {
    closing.abort();
    return stopped;
  };
}
