/** The only file of this room that knows the time. */

/** Milliseconds since 1970, by the wall clock: signatures and `Last-Modified` need it. */
export function nowMs(): number {
  return Date.now();
}

/** Milliseconds that never run backwards, from an arbitrary start: bandwidth needs it. */
export function monotonicMs(): number {
  return performance.now();
}

/** Sleeps `ms` milliseconds, or less when `signal` aborts. Never rejects. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) {
      resolve();
      return;
    }
    const wake = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", wake);
      resolve();
    };
    const timer = setTimeout(wake, ms);
    signal?.addEventListener("abort", wake, { once: true });
  });
}
