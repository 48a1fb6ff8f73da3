/** How long jobs take, in ms: `renderMs` of the GPU, `totalMs` from the beginning of the attempt to its stored result. */
export interface Spans {
  readonly renderMs: number;
  readonly totalMs: number;
}

/** What is known of a pool at one moment. */
export interface Pace {
  /** Of jobs of the same shape; undefined when none has ended here. */
  readonly own: Spans | undefined;
  /** Of all jobs of the pool. */
  readonly mean: Spans | undefined;
  /** Workers of this pool that take jobs. */
  readonly workers: number;
  /** Jobs of this pool that somebody holds. */
  readonly active: number;
}

/**
 * Pure: when a waiting job will probably have ended, in seconds from now: those before it, half of what renders now, and its own
 * time. Null when nothing is known of this pool, or nobody works there.
 * @param position 1 = next
 */
export function guessEndSeconds(position: number, { own, mean, workers, active }: Pace): number | null {
  if (!mean || workers === 0) return null;
  const busy = Math.min(active, workers);
  const ahead = position - 1;
  const isNextFree = ahead + busy < workers;
  const waitMs = isNextFree ? 0 : ((ahead + busy / 2) * mean.renderMs) / workers;
  return toSeconds(waitMs + (own ?? mean).totalMs);
}

/** Pure: the rest of a job that runs. Null when it takes longer than such jobs do: then nothing is known any more. */
export function guessRestSeconds(elapsedMs: number, { own, mean }: Pick<Pace, "own" | "mean">): number | null {
  const span = own ?? mean;
  if (!span || elapsedMs > span.totalMs) return null;
  return toSeconds(span.totalMs - elapsedMs);
}

function toSeconds(ms: number): number {
  return Math.round(ms / 100) / 10;
}

/** As NOTE_END writes them. */
export function readSpans(text: unknown): Spans | undefined {
  if (typeof text !== "string") return undefined;
  const [renderMs, totalMs] = text.split(" ").map(Number);
  return renderMs === undefined || totalMs === undefined ? undefined : { renderMs, totalMs };
}
