/** The only file of this room that knows the time. */

/** Milliseconds since 1970, by the wall clock. */
export function nowMs(): number {
  return Date.now();
}

/** Sleeps `ms` milliseconds. @throws the signal's reason when it aborts first */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/** Lets everything that waits for its turn have it: awaiting what is already there would not. */
export function letOthersRun(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** A clock that rings when it was wound and not put to rest in time. */
export interface Alarm {
  /** Starts the time anew. */
  wind(): void;
  rest(): void;
}

/** @param ms how long after `wind` it rings; 0 means never */
export function makeAlarm(ms: number, ring: () => void): Alarm {
  let timer: NodeJS.Timeout | undefined;
  const rest = () => {
    clearTimeout(timer);
    timer = undefined;
  };
  const wind = () => {
    rest();
    if (ms > 0) timer = setTimeout(ring, ms);
  };
  return { wind, rest };
}
