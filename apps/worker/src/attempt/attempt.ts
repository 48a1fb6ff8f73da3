import type { HeldJob } from "@comfyq/queue";

/** One try, as its steps see it. */
export interface AttemptRun {
  readonly job: HeldJob;
  /** Work stops when this aborts; its reason is a `StopReason`. */
  readonly signal: AbortSignal;
  /** Wall times of the steps so far, in ms. */
  readonly times: StepTimes;
  /** Set once ComfyUI may know the prompt: what a cancel has to stop. */
  promptId: string | undefined;
  /** Rendering is over: the GPU slot passes on, and `timeout_s` no longer runs (finished work is not thrown away). */
  leaveGpu(): void;
}

export interface StepTimes {
  prepareMs: number;
  renderMs: number;
  storeMs: number;
}

/** Canceled by the customer; the lock may be another's; `timeout_s` is over; this process must stop. */
export type StopReason = "canceled" | "lock_lost" | "timeout" | "drained";
