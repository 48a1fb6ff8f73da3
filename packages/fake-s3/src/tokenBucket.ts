import { monotonicMs, sleep } from "./clock.ts";

/** Debts shorter than this are carried over instead of slept: a timer cannot wake that precisely. */
const SHORTEST_SLEEP_MS = 2;

/** One link that all connections share: `take` returns when the bytes would have passed. */
export class TokenBucket {
  readonly #clock: { readonly monotonicMs: () => number; readonly sleep: typeof sleep };
  #bytesPerSecond: number | undefined;
  #freeAtMs = 0;

  constructor(clock = { monotonicMs, sleep }) {
    this.#clock = clock;
  }

  /** @param bytesPerSecond speed of the link; `undefined` means no limit */
  setRate(bytesPerSecond: number | undefined): void {
    this.#bytesPerSecond = bytesPerSecond;
    this.#freeAtMs = 0;
  }

  /** Lets `sizeBytes` through, in the order of the calls. Returns early when `signal` aborts. */
  async take(sizeBytes: number, signal: AbortSignal): Promise<void> {
    if (this.#bytesPerSecond === undefined) return;
    const now = this.#clock.monotonicMs();
    this.#freeAtMs = Math.max(this.#freeAtMs, now) + (sizeBytes / this.#bytesPerSecond) * 1000;
    const waitMs = this.#freeAtMs - now;
    if (waitMs >= SHORTEST_SLEEP_MS) await this.#clock.sleep(waitMs, signal);
  }
}
