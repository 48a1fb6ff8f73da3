/** Unix time in ms. */
export function nowMs(): number {
  return Date.now();
}

/** Time in ms that never jumps and goes on while the process is stopped (CLOCK_MONOTONIC): what the self-fence counts. */
export function monotonicMs(): number {
  return performance.now();
}

/** Waits; ends early, without an error, when the signal aborts. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const stop = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
      resolve();
    };
    const timer = setTimeout(stop, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/** Calls `ring` once, `ms` from now, unless stopped; does not keep the process alive. @returns a function that stops it */
export function after(ms: number, ring: () => void): () => void {
  const timer = setTimeout(ring, ms).unref();
  return () => clearTimeout(timer);
}
