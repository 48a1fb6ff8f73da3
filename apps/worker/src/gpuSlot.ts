/** The right to have a prompt on the instance. One at a time; taken before claiming, so nobody hoards jobs. */
export interface GpuSlot {
  /** Waits until the slot is free, and takes it. Rejects with the signal's reason when aborted first. */
  take(signal: AbortSignal): Promise<void>;
  release(): void;
}

/** A slot for one GPU and the one loop that takes it. */
export function createGpuSlot(): GpuSlot {
  let freed: PromiseWithResolvers<void> | undefined;
  return {
    take: async (signal) => {
      signal.throwIfAborted();
      const stopped = Promise.withResolvers<never>();
      const onAbort = () => stopped.reject(signal.reason);
      signal.addEventListener("abort", onAbort, { once: true });
      try {
        await Promise.race([freed?.promise, stopped.promise]);
      } finally {
        signal.removeEventListener("abort", onAbort);
      }
      freed = Promise.withResolvers();
    },
    release: () => {
      freed?.resolve();
      freed = undefined;
    },
  };
}
