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

/** What a promise brings within so many ms; undefined when that is too short, or when it fails. @throws the signal's reason */
export async function within<T>(promise: Promise<T>, ms: number, signal: AbortSignal): Promise<T | undefined> {
  const done = new AbortController();
  const late = sleep(ms, AbortSignal.any([done.signal, signal])).then(() => undefined);
  try {
    return await Promise.race([promise.catch(() => undefined), late]);
  } finally {
    late.catch(() => {}); // it ends now, and nobody waits for it
    done.abort();
  }
}

/** A limit of time that can begin anew. */
export interface Deadline {
  /** Aborted when the time has passed, with the reason that was asked for. */
  readonly signal: AbortSignal;
  /** The whole time is given again. */
  restart(): void;
  /** No time passes until the next `restart`. */
  stop(): void;
}

/** A deadline that begins now. Stop it when nobody waits any more. */
export function createDeadline(ms: number, reason: () => Error): Deadline {
  const controller = new AbortController();
  const ring = () => controller.abort(reason());
  let timer = setTimeout(ring, ms);
  const stop = () => clearTimeout(timer);
  return {
    signal: controller.signal,
    restart() {
      stop();
      timer = setTimeout(ring, ms);
    },
    stop,
  };
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
