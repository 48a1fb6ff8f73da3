import type { Noise } from "./noise.ts";
import { rounded } from "./statistics.ts";

/** One bound that a benchmark is held against. */
interface Check {
  readonly name: string;
  readonly value: number;
  /** Exactly one of the two. */
  readonly atLeast?: number;
  readonly atMost?: number;
}

/** What one benchmark found. */
export interface Measured {
  /** The first one is the headline: its value is the `ratio` of the line. */
  readonly checks: readonly [Check, ...Check[]];
  /** What the ratio is taken against, in words, with its own figure. */
  readonly baseline: string;
  readonly n: number;
  /** Of the samples, in ms, where there are any. */
  readonly p50?: number;
  readonly p99?: number;
  /** The same figure of the serial pipeline, when it was asked for. */
  readonly naive?: number;
  /** What else is worth knowing. */
  readonly details?: Readonly<Record<string, number | string>>;
}

/** One JSON line of the report. */
export interface Line {
  readonly bench: string;
  readonly what: string;
  readonly ratio: number;
  readonly target: string;
  readonly met: boolean;
  readonly baseline: string;
  readonly n: number;
  readonly p50?: number;
  readonly p99?: number;
  readonly naive?: number;
  readonly checks: Readonly<Record<string, number>>;
  readonly details: Readonly<Record<string, number | string>>;
  readonly noise: Noise;
  readonly took_s: number;
}

function isMet({ value, atLeast, atMost }: Check): boolean {
  return value >= (atLeast ?? Number.NEGATIVE_INFINITY) && value <= (atMost ?? Number.POSITIVE_INFINITY);
}

function boundOf({ name, atLeast, atMost }: Check): string {
  if (atLeast !== undefined) return `${name} >= ${atLeast}`;
  return atMost === undefined ? `${name}: none` : `${name} <= ${atMost}`;
}

export function toLine(
  bench: { readonly id: string; readonly what: string },
  measured: Measured,
  run: { readonly noise: Noise; readonly tookMs: number },
): Line {
  const { checks, details = {}, ...rest } = measured;
  return {
    bench: bench.id,
    what: bench.what,
    ratio: rounded(checks[0].value, 4),
    target: checks.map(boundOf).join(", "),
    met: checks.every(isMet),
    ...rest,
    checks: Object.fromEntries(checks.map(({ name, value }) => [name, rounded(value, 4)])),
    details,
    noise: run.noise,
    took_s: rounded(run.tookMs / 1_000, 1),
  };
}

/** The lines as a table for people. */
export function toTable(lines: readonly Line[]): string {
  const head = ["bench", "measured", "target", "met", "p50", "p99", "n", "naive", "noise"];
  const rows = lines.map((line) => [
    line.bench,
    Object.values(line.checks).join(", "),
    line.target,
    line.met ? "yes" : "NO",
    String(line.p50 ?? ""),
    String(line.p99 ?? ""),
    String(line.n),
    String(line.naive ?? ""),
    `${Math.round(line.noise.moved * 100)} %`,
  ]);
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  return all
    .map((row) =>
      row
        .map((cell, at) => cell.padEnd(widths[at] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
