import { type Attempt, isTerminal, type JobStatus, toMoment } from "@comfyq/contract";
import type { Job as BullJob } from "bullmq";
import { withdrawJob } from "./cancelJob.ts";
import { nowMs } from "./clock.ts";
import { JobEnvelope } from "./envelopes.ts";
import { appendEvent } from "./jobEvents.ts";
import { type Lock, whileOurs } from "./keepLock.ts";
import { setPriority } from "./lockScripts.ts";
import { noteEnd } from "./noteEnd.ts";
import type { Outcome } from "./outcome.ts";
import { within } from "./persist.ts";
import { putOff } from "./putOff.ts";
import type { QueueRoom } from "./room.ts";
import { shareWaitMs } from "./shareWait.ts";
import { failedStatus } from "./stateOf.ts";

/** The right to end one job: its BullJob and the lock on it. */
export interface Hold {
  readonly room: QueueRoom;
  readonly bullJob: BullJob;
  readonly lock: Lock;
  readonly epoch: number;
}

/** What an attempt that was begun leaves behind. */
interface Ending {
  /** Writes the end into the attempt's page. */
  readonly writeEnd?: (facts: Partial<Attempt>) => Promise<void>;
  /** How long ComfyUI had its prompt. */
  readonly gpuMs?: number | undefined;
}

/**
 * The only place that ends a job. BullMQ checks the lock token in the same script, so a ghost changes nothing.
 * Tries again while Redis is away and the lock may still be ours.
 * @returns false when the lock was lost: the next holder finds the manifest, or renders again
 */
export async function settle(
  hold: Hold,
  outcome: Outcome,
  { writeEnd = async () => {}, gpuMs = 0 }: Ending = {},
): Promise<boolean> {
  const { lock } = hold;
  try {
    // First the journal: a crash in between leaves an end that a later attempt overrules, not a death that was none.
    await writeEnd(attemptEnd(outcome));
    // What the next holder shows must follow this.
    if (!isTerminal(statusAfter(outcome))) await soon(hold, showStatus(hold, outcome));
    if (!(await lock.givingUp(() => whileOurs(lock, () => move(hold, outcome))))) return false;
  } catch (error) {
    if (lock.lost.aborted) return false;
    throw error;
  }
  await soon(hold, isTerminal(statusAfter(outcome)) ? tellEnd(hold, outcome, gpuMs) : goOn(hold, outcome, gpuMs));
  return true;
}

/** What is only told, not decided, may fail and does not keep anybody waiting: who watches looks for itself within 5 s. */
async function soon({ room }: Hold, work: Promise<unknown>): Promise<void> {
  await within(room.settings.commandTimeoutMs, work).catch(() => {});
}

/** Safe to repeat. @returns false when the lock was another's */
async function move(hold: Hold, outcome: Outcome): Promise<boolean> {
  const { room, lock } = hold;
  try {
    await moveOnce(hold, outcome);
  } catch (error) {
    if (!isLockLost(error)) throw error;
    // A lost answer looks like a lost lock: if the job stands where we wanted it, it was us.
    if (!(await standsAsWanted(hold, outcome))) return false;
  }
  if (outcome.kind === "give_back")
    // moveJobFromActiveToWait.lua wakes nobody when the job has a priority, and all of ours have one (bullmq 6.7.0).
    await room.redis.zadd(room.names.bull(room.names.jobsQueue(lock.pool), "marker"), 0, "0");
  return true;
}

async function moveOnce({ room, bullJob, lock }: Hold, outcome: Outcome): Promise<void> {
  const { token, pool } = lock;
  switch (outcome.kind) {
    case "succeeded":
      await bullJob.moveToCompleted(outcome.manifest, token, false);
      return;
    case "failed":
      await bullJob.moveToFailed(new Error(JSON.stringify(outcome.error)), token, false);
      return;
    case "retry":
      await putOff(room, { bullJob, pool, token }, outcome.afterMs);
      return;
    case "give_back":
      await bullJob.moveToWait(token);
      return;
    case "shared":
      await setPriority(room, lock, 0); // then it goes before all that have one
      await putOff(room, { bullJob, pool, token }, shareWaitMs(outcome.berth, room.settings));
      return;
  }
}

/** BullMQ's error-code.js: the job is gone, its lock is gone, it is not active any more, or the lock is another's. */
const LOCK_LOST_CODES: readonly unknown[] = [-1, -2, -3, -6];

export function isLockLost(error: unknown): boolean {
  return error instanceof Error && "code" in error && LOCK_LOST_CODES.includes(error.code);
}

async function standsAsWanted({ room, lock, epoch }: Hold, outcome: Outcome): Promise<boolean> {
  const queue = room.jobs(lock.pool);
  const now = await queue.getJob(lock.jobId);
  if (!now || now.attemptsStarted !== epoch) return false;
  if (now.finishedOn !== undefined) return outcome.kind === (now.failedReason ? "failed" : "succeeded");
  if (outcome.kind === "failed" || outcome.kind === "succeeded") return false;
  return (await queue.getJobState(lock.jobId)) !== "active";
}

function attemptEnd(outcome: Outcome): Partial<Attempt> {
  const ended_at = toMoment(nowMs());
  switch (outcome.kind) {
    case "succeeded":
      return { ended_at, end: "succeeded", counted: true, store_ms: outcome.manifest.metrics.store_ms };
    case "failed": {
      const end = failedStatus(outcome.error);
      return { ended_at, end, counted: end === "failed", error: outcome.error };
    }
    case "retry":
      return { ended_at, end: "failed", counted: outcome.counted, error: outcome.error };
    case "give_back":
      return { ended_at, end: "given_back", counted: false, error: outcome.error ?? null };
    case "shared":
      return { ended_at, end: "given_back", counted: false };
  }
}

function statusAfter(outcome: Outcome): JobStatus {
  if (outcome.kind === "succeeded") return "succeeded";
  return outcome.kind === "failed" ? failedStatus(outcome.error) : "queued";
}

async function showStatus({ room, lock, epoch }: Hold, outcome: Outcome): Promise<void> {
  const failure = outcome.kind === "failed" || outcome.kind === "retry" ? outcome.error : undefined;
  const error = failure === undefined || failure.code === "canceled" ? null : failure;
  const data = { status: statusAfter(outcome), stage: null, attempt: epoch, error };
  await appendEvent(room, lock.jobId, { event: "status", data });
}

async function tellEnd(hold: Hold, outcome: Outcome, gpuMs: number): Promise<void> {
  await learnFrom(hold, outcome, gpuMs);
  await showStatus(hold, outcome);
}

async function goOn(hold: Hold, outcome: Outcome, gpuMs: number): Promise<void> {
  await endIfUnwanted(hold);
  await learnFrom(hold, outcome, gpuMs);
}

async function learnFrom({ room, lock, bullJob }: Hold, outcome: Outcome, gpuMs: number): Promise<void> {
  const { jobId, pool } = lock;
  const { data } = JobEnvelope.safeParse(bullJob.data);
  if (data) await noteEnd(room, { jobId, tenant: data.tenant, pool, outcome, status: statusAfter(outcome), gpuMs });
}

/** Somebody wanted it canceled while we had it, and may have looked for it in the queue before it was back there. */
async function endIfUnwanted({ room, lock: { jobId, pool } }: Hold): Promise<void> {
  const wish = await room.redis.hexists(room.names.record(jobId), "cancel_requested_at_ms");
  if (wish === 1) await withdrawJob(room, { id: jobId, pool, atMs: nowMs(), reason: "cancel_requested_at_ms" });
}
