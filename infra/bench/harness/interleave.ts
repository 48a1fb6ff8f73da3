import type { Pair } from "./statistics.ts";

/**
 * Runs subject and baseline one after the other, A-B-A-B, so that whatever disturbs the machine disturbs both.
 * @param pairs how many of each; the run of number `at` may differ from the others by its inputs only
 */
export async function interleave(
  pairs: number,
  subject: (at: number) => Promise<number>,
  baseline: (at: number) => Promise<number>,
): Promise<readonly Pair[]> {
  const measured: Pair[] = [];
  for (let at = 0; at < pairs; at += 1) {
    const subjectValue = await subject(at);
    measured.push({ subject: subjectValue, baseline: await baseline(at) });
  }
  return measured;
}
