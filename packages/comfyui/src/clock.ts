import { setTimeout as wait } from "node:timers/promises";

/** A monotonic reading in ms, for spans. It says nothing about the time of day. */
export function nowMs(): number {
  return performance.now();
}

/** Waits. @throws the signal's reason when it is aborted */
export async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  try {
    await wait(Math.max(0, ms), undefined, { signal });
  } catch (cause) {
    signal.throwIfAborted(); // the timer throws an AbortError of its own; callers want the reason
    throw cause;
  }
}

/** Calls `tick` every so many ms until the returned function is called. */
export function every(ms: number, tick: () => void): () => void {
  const timer = setInterval(tick, ms);
  return () => clearInterval(timer);
}

/** Ends a wait early. A ring while nobody waits is kept for the next wait. */
export interface Bell {
  ring(): void;
  /** Waits for a ring, at most so long. @throws the signal's reason when it is aborted */
  wait(ms: number, signal: AbortSignal): Promise<void>;
}

/** A bell that nobody has rung. */
export function createBell(): Bell {
  let isRung = false;
  let wake: AbortController | undefined;
  return {
    ring() {
      isRung = true;
      wake?.abort();
    },
    async wait(ms, signal) {
      signal.throwIfAborted();
      if (!isRung) {
        wake = new AbortController();
        await sleep(ms, AbortSignal.any([wake.signal, signal])).catch(() => signal.throwIfAborted());
        wake = undefined;
      }
      isRung = false;
    },
  };
}
