import { monotonicMs, sleep } from "./clock.ts";
import type { QueueRoom } from "./room.ts";

/** Knows whether Redis left this process waiting a moment ago: then other workers may have lost it, too. */
export interface Pulse {
  wasAwayWithin(ms: number): boolean;
}

/** Asks Redis every `renewMs` until closing; an answer that takes longer than that was an absence. */
export function feelPulse(room: QueueRoom, closing: AbortSignal): Pulse {
  let backAtMs = Number.NEGATIVE_INFINITY;
  const { renewMs } = room.settings;
  const feel = async () => {
    while (!closing.aborted) {
      const askedAtMs = monotonicMs();
      await room.redis.ping().catch(() => {}); // a refusal is an answer, too
      if (monotonicMs() - askedAtMs > renewMs) backAtMs = monotonicMs();
      await sleep(renewMs, closing);
    }
  };
  void feel();
  return { wasAwayWithin: (ms) => monotonicMs() - backAtMs < ms };
}
