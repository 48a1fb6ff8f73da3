import type { Line } from "../history.ts";

export const INVARIANTS = ["I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10", "I11", "I12"] as const;
export type Invariant = (typeof INVARIANTS)[number];

/** One breach of a promise, and the lines that show it. */
export interface Breach {
  readonly why: string;
  readonly lines: readonly Line[];
}

/** What one invariant's check found. */
export interface Finding {
  /** How many things were there to judge; 0 means that the run says nothing about this promise. */
  readonly judged: number;
  readonly breaches: readonly Breach[];
}

export interface Judgement extends Finding {
  readonly invariant: Invariant;
  readonly verdict: "holds" | "violated" | "not exercised";
}

/** Puts the findings about each thing together. */
export function sum(findings: readonly Finding[]): Finding {
  return {
    judged: findings.reduce((total, { judged }) => total + judged, 0),
    breaches: findings.flatMap(({ breaches }) => breaches),
  };
}

/** One thing was judged. */
export function judged(...breaches: readonly (Breach | undefined)[]): Finding {
  return { judged: 1, breaches: breaches.filter((breach) => breach !== undefined) };
}

export function verdictOf({ judged: count, breaches }: Finding): Judgement["verdict"] {
  if (breaches.length > 0) return "violated";
  return count === 0 ? "not exercised" : "holds";
}
