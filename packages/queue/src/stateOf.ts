import { type JobFailure, type JobStatus, jobFailure } from "@comfyq/contract";
import type { JobState } from "bullmq";

export interface OpenFacts {
  readonly state: JobState | "unknown";
  /** Has the newest start a page in the journal? Without one a worker has claimed the job and may still decline it. */
  readonly isBegun: boolean;
  readonly cancelRequested: boolean;
}

/**
 * BullMQ's state → the customer's status, for a job that has not ended. `waiting-children` never happens to a job (it is
 * always the child); `unknown` is a job between two moves. Who asked to cancel sees `canceling` until it is, even when the
 * worker that was told has lost the job meanwhile.
 */
export function openStatus({ state, isBegun, cancelRequested }: OpenFacts): JobStatus {
  if (cancelRequested) return "canceling";
  return state === "active" && isBegun ? "running" : "queued";
}

/** BullMQ knows one bad end; these two codes make statuses of their own out of it. */
export function failedStatus({ code }: JobFailure): "canceled" | "expired" | "failed" {
  return code === "canceled" || code === "expired" ? code : "failed";
}

/** What is said of a job that nobody began in time, whoever noticed it. */
export function expiredFailure(): JobFailure {
  return jobFailure("expired", "No worker was free before expires_in_s ran out; allow more time or add workers");
}
