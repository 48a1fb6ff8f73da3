import * as z from "zod";

export const JOB_STATUSES = ["queued", "running", "canceling", "succeeded", "failed", "canceled", "expired"] as const;
export const JobStatus = z.enum(JOB_STATUSES);
export type JobStatus = z.infer<typeof JobStatus>;

/** Where a running job is: fetching inputs, handed to ComfyUI, rendering, or being stored. */
export const JobStage = z.enum(["preparing", "submitted", "rendering", "storing"]);
export type JobStage = z.infer<typeof JobStage>;

/**
 * The allowed steps. `running → queued` is a try that was given back: its worker was lost, drained, or will be tried again.
 * `queued → canceling`: a worker had claimed it, and not begun; it may just have found it expired. `queued → succeeded`: an
 * identical job had its result already. Nothing leads out of the last four: exactly one terminal status, immutable (promise I2).
 */
export const JOB_STEPS: Readonly<Record<JobStatus, readonly JobStatus[]>> = {
  queued: ["running", "canceling", "succeeded", "canceled", "expired", "failed"],
  running: ["queued", "canceling", "succeeded", "failed", "expired"],
  canceling: ["canceled", "succeeded", "failed", "expired"],
  succeeded: [],
  failed: [],
  canceled: [],
  expired: [],
};

export type TerminalStatus = "succeeded" | "failed" | "canceled" | "expired";

/** True when the job has ended, and for ever. */
export function isTerminal(status: JobStatus): status is TerminalStatus {
  return JOB_STEPS[status].length === 0;
}
