/** The value below which the share `q` of the samples lies; samples need no order. @throws RangeError for none */
export function quantile(samples: readonly number[], q: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const found = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))];
  if (found === undefined) throw new RangeError("there are no samples");
  return found;
}

/** The middle value; the mean of the two middle ones when their number is even. @throws RangeError for none */
export function median(samples: readonly number[]): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  if (low === undefined || high === undefined) throw new RangeError("there are no samples");
  return (low + high) / 2;
}

/** p50 and p99, to two digits. */
export function spread(samples: readonly number[]): { readonly p50: number; readonly p99: number } {
  return { p50: rounded(quantile(samples, 0.5), 2), p99: rounded(quantile(samples, 0.99), 2) };
}

export function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

/** What one interleaved pair of runs measured, in one unit. */
export interface Pair {
  readonly subject: number;
  readonly baseline: number;
}

/** Subject by baseline, the median over the pairs: one disturbed run spoils one pair and not the figure. */
export function medianRatio(pairs: readonly Pair[]): number {
  return median(pairs.map(({ subject, baseline }) => subject / baseline));
}
