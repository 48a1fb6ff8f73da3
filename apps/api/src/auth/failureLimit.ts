import { monotonicMs } from "@comfyq/runtime";

/** Wrong keys that one address may show within a minute before it has to wait. */
const FAILURES_A_MINUTE = 20;
const WINDOW_MS = 60_000;
/** Addresses remembered at once; the oldest is forgotten first, so that an attack cannot fill the memory. */
const ADDRESSES = 10_000;

/** Counts wrong keys per address. */
export interface FailureLimit {
  /** @returns seconds to wait; 0 when the address may try */
  secondsToWait(address: string): number;
  note(address: string): void;
}

export function createFailureLimit(): FailureLimit {
  const windows = new Map<string, { readonly sinceMs: number; failures: number }>();
  const current = (address: string) => {
    const window = windows.get(address);
    return window && monotonicMs() - window.sinceMs < WINDOW_MS ? window : undefined;
  };
  return {
    secondsToWait: (address) => {
      const window = current(address);
      if (!window || window.failures < FAILURES_A_MINUTE) return 0;
      return Math.ceil((window.sinceMs + WINDOW_MS - monotonicMs()) / 1_000);
    },
    note: (address) => {
      const window = current(address) ?? { sinceMs: monotonicMs(), failures: 0 };
      window.failures += 1;
      windows.set(address, window);
      const [oldest] = windows.keys();
      if (windows.size > ADDRESSES && oldest !== undefined) windows.delete(oldest);
    },
  };
}
