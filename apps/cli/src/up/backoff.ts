const FIRST_MS = 500;
const LONGEST_MS = 10_000;

/** A process that was up for this long has recovered: its next death is the first again. */
export const RECOVERED_MS = 30_000;

/**
 * How long to wait before a dead process is started again, in ms: 0.5 s, doubling, 10 s at most.
 * @param deathsInARow 1 for the first
 */
export function restartDelayMs(deathsInARow: number): number {
  return Math.min(LONGEST_MS, FIRST_MS * 2 ** (deathsInARow - 1));
}
