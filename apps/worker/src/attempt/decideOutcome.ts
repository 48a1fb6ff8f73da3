import {
  type Attempt,
  isSameInstance,
  type JobErrorPolicy,
  type JobFailure,
  type Place,
  policyOf,
} from "@comfyq/contract";
import type { Outcome } from "@comfyq/queue";

/** Failures that do not count are bounded all the same: a job may not circle for ever (promise I7). */
export const MOST_UNCOUNTED_FAILURES = 10;

const FIRST_BACKOFF_MS = 1_000;
const LONGEST_BACKOFF_MS = 60_000;

/** What a job has been through. `instance`: where this try failed. */
export interface TriesSoFar extends Place {
  /** Tries before this one. */
  readonly earlier: readonly (Pick<Attempt, "end" | "counted" | "error"> & Place)[];
  readonly maxAttempts: number;
  /** The other workers of the pool that take jobs. */
  readonly neighbours: readonly Place[];
}

/**
 * Pure: what becomes of a job whose attempt failed. `dice` is a number from 0 up to 1, for jitter: jobs that failed together
 * shall not return together.
 */
export function decideOutcome(error: JobFailure, tries: TriesSoFar, dice: number): Outcome {
  const policy = policyOf(error.code);
  if (policy.retry === "never") return { kind: "failed", error };
  // The instance is away or its worker unfit, not the job broken: back to the front of the queue, for whoever is well.
  if (isPlaceAway(error.code)) return boundedGiveBack(error, tries);
  const failed = tries.earlier.filter((attempt) => attempt.end === "failed");
  const isElsewhere = hasElsewhere(error, tries);
  if (isOver(error, failed, tries.maxAttempts) || (isLackOf(error) && !isElsewhere)) return { kind: "failed", error };
  const isToWait = policy.retry === "backoff" || (policy.retry === "elsewhere" && !isElsewhere && !isFreed(error));
  return { kind: "retry", error, counted: policy.counts, afterMs: isToWait ? backoffMs(failed.length, dice) : 0 };
}

function isPlaceAway(code: JobFailure["code"]): boolean {
  return code === "comfyui_unreachable" || code === "instance_refuses" || code === "worker_unfit";
}

type Failed = TriesSoFar["earlier"];

function isOver(error: JobFailure, failed: Failed, maxAttempts: number): boolean {
  const policy: JobErrorPolicy = policyOf(error.code);
  const counted = failed.filter((attempt) => attempt.counted).length + (policy.counts ? 1 : 0);
  const uncounted = failed.filter((attempt) => !attempt.counted).length + (policy.counts ? 0 : 1);
  const alike = failed.filter((attempt) => attempt.error?.code === error.code).length;
  const isTriedEnough = policy.retriesAtMost !== undefined && alike >= policy.retriesAtMost;
  return isTriedEnough || counted >= maxAttempts || uncounted > MOST_UNCOUNTED_FAILURES;
}

/** Is there another instance that has not failed this job in the same way? */
function hasElsewhere({ code }: JobFailure, here: TriesSoFar): boolean {
  const { earlier, neighbours } = here;
  const failedAt: Place[] = [here, ...earlier.filter((attempt) => attempt.error?.code === code)];
  return neighbours.some((worker) => !failedAt.some((place) => isSameInstance(place, worker)));
}

/** What an instance does not have, it does not have a second later either. */
function isLackOf({ code }: JobFailure): boolean {
  return code === "model_missing" || code === "models_unavailable" || code === "node_class_missing";
}

/** Its memory was freed before: the same instance may do at once. */
function isFreed({ code }: JobFailure): boolean {
  return code === "out_of_gpu_memory";
}

/** A day of an instance that comes and goes must not fail a job; a job that nobody can ever submit must not stay. */
const MOST_GIVE_BACKS = 100;

function boundedGiveBack(error: JobFailure, { earlier }: TriesSoFar): Outcome {
  const givenBack = earlier.filter((attempt) => attempt.end === "given_back").length;
  return givenBack >= MOST_GIVE_BACKS ? { kind: "failed", error } : { kind: "give_back", reason: error.message, error };
}

function backoffMs(failures: number, dice: number): number {
  const wait = Math.min(FIRST_BACKOFF_MS * 2 ** failures, LONGEST_BACKOFF_MS);
  return Math.round(wait * (0.5 + dice / 2));
}
