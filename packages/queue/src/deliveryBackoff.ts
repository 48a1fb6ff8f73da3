/** A receiver may not put us off longer than this at once: the schedule's own longest wait. */
const LONGEST_ASKED_MS = 24 * 3_600_000;

/** What decides about a wait. */
export interface BackoffFacts {
  /** The schedule: the wait after the first try, after the second … */
  readonly waitsMs: readonly number[];
  /** What the receiver asked for (Retry-After); 0 when it did not. */
  readonly askedMs: number;
  /** From 0 to 1. */
  readonly dice: number;
}

/**
 * The wait before the next try of one delivery, in ms: the schedule's ±10 %, so that a thousand receivers' webhooks do not
 * return in one moment, or what the receiver asked for when that is longer.
 * @param triesMade from 1
 */
export function deliveryBackoff(triesMade: number, { waitsMs, askedMs, dice }: BackoffFacts): number {
  const wait = waitsMs[Math.min(triesMade, waitsMs.length) - 1] ?? 0;
  return Math.max(Math.round(wait * (0.9 + dice * 0.2)), Math.min(askedMs, LONGEST_ASKED_MS));
}
