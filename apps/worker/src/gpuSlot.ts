import { orAborted } from "./orAborted.ts";

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
      await orAborted(freed?.promise ?? Promise.resolve(), signal);
      freed = Promise.withResolvers();
    },
    release: () => {
      freed?.resolve();
      freed = undefined;
    },
  };
}
