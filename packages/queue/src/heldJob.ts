import type { Attempt, JobEvent, Progress } from "@comfyq/contract";
import type { CacheSeat } from "./cacheSeat.ts";
import type { RecordHead, RecordRequest } from "./envelopes.ts";
import type { Outcome } from "./outcome.ts";
import type { PromptRelay } from "./relay.ts";

/** Why a held job must be dropped: `HeldJob.signal.reason`. */
export type DropReason = "canceled" | "lock_lost";

/** One job lent to this worker, until `end`. */
export interface HeldJob {
  readonly id: string;
  readonly tenant: string;
  readonly pool: string;
  /** Number of this start; rises strictly. */
  readonly epoch: number;
  readonly createdAtMs: number;
  readonly head: RecordHead;
  readonly request: RecordRequest;
  /** As the producer sealed them; undefined when the job has none. */
  readonly sealedSecrets: string | undefined;
  /** Undefined when the job has nothing to do with the result cache. */
  readonly cache: CacheSeat | undefined;
  /** Tries before this one, oldest first. Those without `end` died. */
  readonly earlier: readonly Attempt[];
  /**
   * Aborts with a `DropReason` when a customer cancels, or when the lock could not be renewed for 8 s: then somebody else
   * may soon start the job, so stop the GPU and write nothing.
   */
  readonly signal: AbortSignal;
  /**
   * True while nobody else can have started this job: asked of the clock at this moment, so that a process which slept
   * knows before any timer of it fires. Once false it stays false, and `signal` has aborted.
   */
  isOurs(): boolean;
  /**
   * Writes facts of this attempt down. Resolves when Redis has them: the `prompt_id` must stand before the POST. Waits for a
   * Redis that is away, full or read-only as long as the lock may be ours.
   * @throws the DropReason `lock_lost`, at once when that happens
   */
  journal(facts: Partial<Attempt>): Promise<void>;
  /** Shows progress; coalesced to four a second, newest wins. Never throws, never waits. */
  report(progress: Progress): void;
  /** Shows an output, log or preview event. Never throws, never waits. */
  show(event: JobEvent): void;
  /** Undefined for a job that did not come in by ComfyUI's own API. */
  readonly relay: PromptRelay | undefined;
  /** Keeps what ComfyUI's history says of the prompt, as text; nothing when the lock was lost. */
  keepEntry(entry: string): Promise<void>;
  /**
   * Lets the job go. False when the lock was lost: nothing was changed and another holder will end it.
   * Waits for Redis as long as the lock may still be ours.
   * @param gpuMs how long ComfyUI had its prompt: the tenant's GPU time; default 0
   */
  end(outcome: Outcome, gpuMs?: number): Promise<boolean>;
}
