import type { HeldJob } from "@comfyq/queue";
import { isBroken, sleep } from "@comfyq/runtime";
import type { StopReason } from "./attempt.ts";

interface StopClock {
  readonly signal: AbortSignal;
  forgetTimeout(): void;
  /** The attempt has ended: what still is under way of it stops. */
  close(): void;
}

/** Everything that can stop an attempt, as one signal whose reason says which it was. */
export function stopClock(held: HeldJob, draining: AbortSignal): StopClock {
  const stop = new AbortController();
  const stopFor = (reason: StopReason) => stop.abort(reason);
  const closed = new AbortController();
  const overdue = new AbortController();
  sleep(held.head.timeout_s * 1_000, overdue.signal).then(
    () => stopFor("timeout"),
    () => {}, // forgotten in time
  );
  const listen = (signal: AbortSignal, act: () => void) => {
    if (signal.aborted) act();
    signal.addEventListener("abort", act, { once: true, signal: closed.signal });
  };
  listen(held.signal, () => {
    // Broken for a test: a lost lock stops nothing.
    if (held.signal.reason !== "lock_lost" || !isBroken("no_fence")) stopFor(held.signal.reason);
  });
  listen(draining, () => stopFor("drained"));
  return {
    signal: stop.signal,
    forgetTimeout: () => overdue.abort(),
    close: () => {
      overdue.abort();
      closed.abort();
      stop.abort(new DOMException("The attempt has ended", "AbortError"));
    },
  };
}
