import { monotonicMs, sleep } from "./clock.ts";
import type { QueueRoom } from "./room.ts";

/** Knows whether Redis left this process waiting, or refused it, a moment ago: then other workers may have lost it, too. */
export interface Pulse {
  wasAwayWithin(ms: number): boolean;
}

/**
 * Asks Redis every `renewMs` until closing, with a write that changes nothing: a refusal (read-only, loading) is an absence as
 * much as an answer that takes longer than that. A Redis that is only full takes this write, as it takes renewals of locks.
 */
export function feelPulse(room: QueueRoom, closing: AbortSignal): Pulse {
  let backAtMs = Number.NEGATIVE_INFINITY;
  const { renewMs } = room.settings;
  const nobody = room.names.worker(""); // there is no such key
  const feel = async () => {
    while (!closing.aborted) {
      const askedAtMs = monotonicMs();
      const isHeard = await room.redis.pexpire(nobody, 1).then(
        () => true,
        () => false,
      );
      if (!isHeard || monotonicMs() - askedAtMs > renewMs) backAtMs = monotonicMs();
      await sleep(renewMs, closing);
    }
  };
  void feel();
  return { wasAwayWithin: (ms) => monotonicMs() - backAtMs < ms };
}
