import { type Attempt, JOB_ERRORS, type JobFailure } from "@comfyq/contract";
import type { Outcome } from "@comfyq/queue";

/** Failures that do not count are bounded all the same: a job may not circle for ever (promise I7). */
export const MOST_UNCOUNTED_FAILURES = 10;

const FIRST_BACKOFF_MS = 1_000;
const LONGEST_BACKOFF_MS = 60_000;

export interface TriesSoFar {
  /** Tries before this one. */
  readonly earlier: readonly Pick<Attempt, "end" | "counted" | "error">[];
  readonly maxAttempts: number;
}

/**
 * Pure: what becomes of a job whose attempt failed. `dice` is a number from 0 up to 1, for jitter: jobs that failed together
 * shall not return together.
 */
export function decideOutcome(error: JobFailure, tries: TriesSoFar, dice: number): Outcome {
  const policy = JOB_ERRORS[error.code];
  if (policy.retry === "never") return { kind: "failed", error };
  // The instance is away, not the job broken: back to the front of the queue, for whoever is well.
  if (error.code === "comfyui_unreachable") return boundedGiveBack(error, tries);
  const failed = tries.earlier.filter((attempt) => attempt.end === "failed");
  const counted = failed.filter((attempt) => attempt.counted).length + (policy.counts ? 1 : 0);
  const uncounted = failed.filter((attempt) => !attempt.counted).length + (policy.counts ? 0 : 1);
  if (counted >= tries.maxAttempts || uncounted > MOST_UNCOUNTED_FAILURES) return { kind: "failed", error };
  if (error.code === "out_of_gpu_memory" && failed.some((attempt) => attempt.error?.code === error.code))
    return { kind: "failed", error };
  return { kind: "retry", error, counted: policy.counts, afterMs: waitMs(policy.retry, failed.length, dice) };
}

/** A day of an instance that comes and goes must not fail a job; a job that nobody can ever submit must not stay. */
const MOST_GIVE_BACKS = 100;

function boundedGiveBack(error: JobFailure, { earlier }: TriesSoFar): Outcome {
  const givenBack = earlier.filter((attempt) => attempt.end === "given_back").length;
  return givenBack >= MOST_GIVE_BACKS ? { kind: "failed", error } : { kind: "give_back", reason: error.message };
}

function waitMs(retry: "here" | "elsewhere" | "backoff", failures: number, dice: number): number {
  if (retry !== "backoff") return 0;
  const wait = Math.min(FIRST_BACKOFF_MS * 2 ** failures, LONGEST_BACKOFF_MS);
  return Math.round(wait * (0.5 + dice / 2));
}
