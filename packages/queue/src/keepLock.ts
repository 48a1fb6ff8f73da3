import type { Job as BullJob } from "bullmq";
import { monotonicMs, sleep } from "./clock.ts";
import type { QueueRoom } from "./room.ts";

export interface Lock {
  /** False once the lock is known, or must be assumed, to be another's. Never turns true again. */
  isOurs(): boolean;
  stop(): void;
}

interface LockWatch {
  readonly bullJob: BullJob;
  readonly token: string;
  readonly onLost: () => void;
  readonly onCanceled: () => void;
}

/**
 * Renews the lock of one job, and fences: when no renewal was confirmed for `fenceMs` the job is given up here before the
 * lock can end there, counted on a clock that goes on while the process is stopped. Each renewal also looks for a wish to
 * cancel, in case its message was lost.
 */
export function keepLock(room: QueueRoom, watch: LockWatch): Lock {
  const { settings } = room;
  const stopped = new AbortController();
  let confirmedAtMs = monotonicMs();
  let ours = true;
  const lose = () => {
    if (!ours || stopped.signal.aborted) return;
    ours = false;
    stopped.abort();
    watch.onLost();
  };
  const fence = async () => {
    while (!stopped.signal.aborted) {
      await sleep(settings.fenceCheckMs, stopped.signal);
      if (monotonicMs() - confirmedAtMs > settings.fenceMs) lose();
    }
  };
  const renew = async () => {
    const askedAtMs = monotonicMs();
    const extended = await watch.bullJob.extendLock(watch.token, settings.lockMs);
    if (extended !== 1) return lose();
    confirmedAtMs = askedAtMs;
    const wish = await room.redis.hexists(room.names.record(String(watch.bullJob.id)), "cancel_requested_at_ms");
    if (wish === 1) watch.onCanceled();
  };
  const loop = async () => {
    while (!stopped.signal.aborted) {
      await sleep(settings.renewMs, stopped.signal);
      // No answer is no confirmation: the fence decides.
      if (!stopped.signal.aborted) void renew().catch(() => {});
    }
  };
  void loop();
  void fence();
  const isOurs = () => {
    if (monotonicMs() - confirmedAtMs > settings.fenceMs) lose();
    return ours;
  };
  return { isOurs, stop: () => stopped.abort() };
}
