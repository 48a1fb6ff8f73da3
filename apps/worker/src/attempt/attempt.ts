import type { HeldJob } from "@comfyq/queue";
import { type HistoryFacts, isBroken } from "@comfyq/runtime";
import type { PlacedModel } from "../models/placing.ts";
import type { Patient } from "../patiently.ts";
import type { LentSecrets } from "./jobSecrets.ts";

/** One try, as its steps see it. */
export interface AttemptRun {
  readonly job: HeldJob;
  /** Where it runs, as the journal names it. */
  readonly instance: string;
  /** Work stops when this aborts; its reason is a `StopReason`. */
  readonly signal: AbortSignal;
  /** Aborts when the process is about to end: what insists on something stops insisting. */
  readonly leaving: AbortSignal;
  /** Wall times of the steps so far, in ms. */
  readonly times: StepTimes;
  readonly secrets: LentSecrets;
  /** Set once ComfyUI may know the prompt. */
  promptId: string | undefined;
  /** May ComfyUI still run or queue it? Then a stop has to end it, and the next job has to wait. */
  mayRun: boolean;
  /** Settles when ComfyUI has taken or refused the prompt; undefined before it was sent. Never rejects. */
  submission: Promise<void> | undefined;
  /** Ends the showing of its frames to who listens by ComfyUI's own API; undefined when there is none. */
  stopRelay: (() => void) | undefined;
  /** How its files are named in the store: `<type>/<subfolder>/<filename>` as ComfyUI said → name. */
  readonly storedNames: Map<string, string>;
  /** ComfyUI has the prompt. */
  takeGpu(): void;
  /** So many bytes are rendered and wait for the store. */
  weigh(bytes: number): void;
  /** Models that are where this attempt needs them; let go when it needs the GPU no more. */
  readonly models: PlacedModel[];
  /** Does work that `timeout_s` is not meant for: no time of it passes meanwhile. */
  untimed<T>(work: () => Promise<T>): Promise<T>;
  /** Waits for a few ms while the next job is on its way to the GPU, which comes first. */
  untilNextBegins(): Promise<void>;
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

/**
 * Asked before anything that others would see: a process that slept finds out here that the job is another's, before any
 * of its timers has fired.
 * @throws the signal's reason
 */
export function assertOurs({ job, signal }: Pick<AttemptRun, "job" | "signal">): void {
  if (!isBroken("no_fence")) job.isOurs(); // aborts the signal when it is not
  signal.throwIfAborted();
}

/** What is tried again for this attempt, is while the job is ours. */
export function patientOf(run: AttemptRun): Patient {
  return { jobId: run.job.id, signal: run.signal, check: () => assertOurs(run) };
}

/** What every line of a test's history says of an attempt. */
export function historyOf(run: AttemptRun, more: HistoryFacts = {}): HistoryFacts {
  return { job: run.job.id, epoch: run.job.epoch, instance: run.instance, prompt: run.promptId, ...more };
}
