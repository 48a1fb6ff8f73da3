import type { HeldJob } from "@comfyq/queue";
import { isBroken, monotonicMs, sleep } from "@comfyq/runtime";
import type { StopReason } from "./attempt.ts";

interface StopClock {
  readonly signal: AbortSignal;
  /** `timeout_s` stands still while this work goes on. */
  untimed<T>(work: () => Promise<T>): Promise<T>;
  forgetTimeout(): void;
  /** The attempt has ended: what still is under way of it stops. */
  close(): void;
}

/** Everything that can stop an attempt, as one signal whose reason says which it was. */
export function stopClock(held: HeldJob, draining: AbortSignal): StopClock {
  const stop = new AbortController();
  const stopFor = (reason: StopReason) => stop.abort(reason);
  const closed = new AbortController();
  const timeout = startTimeout(held.head.timeout_s * 1_000, () => stopFor("timeout"));
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
    untimed: async (work) => {
      timeout.pause();
      try {
        return await work();
      } finally {
        timeout.resume();
      }
    },
    forgetTimeout: () => timeout.forget(),
    close: () => {
      timeout.forget();
      closed.abort();
      stop.abort(new DOMException("The attempt has ended", "AbortError"));
    },
  };
}

interface Timeout {
  pause(): void;
  resume(): void;
  forget(): void;
}

function startTimeout(ms: number, onOver: () => void): Timeout {
  let leftMs = ms;
  let isForgotten = false;
  let running: { readonly stop: AbortController; readonly sinceMs: number } | undefined;
  const resume = () => {
    if (isForgotten || running) return;
    const stop = new AbortController();
    running = { stop, sinceMs: monotonicMs() };
    sleep(Math.max(0, leftMs), stop.signal).then(onOver, () => {}); // stopped in time
  };
  const pause = () => {
    if (!running) return;
    running.stop.abort();
    leftMs -= monotonicMs() - running.sinceMs;
    running = undefined;
  };
  resume();
  return {
    pause,
    resume,
    forget: () => {
      isForgotten = true;
      pause();
    },
  };
}
