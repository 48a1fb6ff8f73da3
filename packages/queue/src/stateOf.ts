import type { JobFailure, JobStatus } from "@comfyq/contract";
import type { JobState } from "bullmq";

/**
 * BullMQ's state → the customer's status, for a job that has not ended. `waiting-children` never happens to a job (it is
 * always the child); `unknown` is a job between two moves.
 */
export function openStatus(state: JobState | "unknown", cancelRequested: boolean): JobStatus {
  if (state === "active") return cancelRequested ? "canceling" : "running";
  return "queued";
}

/** BullMQ knows one bad end; these two codes make statuses of their own out of it. */
export function failedStatus({ code }: JobFailure): "canceled" | "expired" | "failed" {
  return code === "canceled" || code === "expired" ? code : "failed";
}
