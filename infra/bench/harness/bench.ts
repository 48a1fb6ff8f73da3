import type { Measured } from "./report.ts";

/** How much is run. */
export interface Effort {
  /** A smoke test: everything is done, nothing is measured well. */
  readonly isQuick: boolean;
  /** Also measure a worker that does one thing after the other. */
  readonly withNaive: boolean;
}

export interface Bench {
  readonly id: string;
  readonly what: string;
  /** Sets everything up, measures, takes everything down. */
  readonly run: (effort: Effort) => Promise<Measured>;
}
