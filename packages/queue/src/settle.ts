import { type Attempt, isTerminal, type JobEvent, type JobStatus, toMoment } from "@comfyq/contract";
import type { Job as BullJob } from "bullmq";
import { nowMs, sleep } from "./clock.ts";
import { noteRenderTime } from "./fleet.ts";
import { appendEvent } from "./jobEvents.ts";
import type { Lock } from "./keepLock.ts";
import type { Outcome } from "./outcome.ts";
import type { QueueRoom } from "./room.ts";
import { failedStatus } from "./stateOf.ts";

/** The right to end one job: its BullJob and the token its lock was taken with. */
export interface Lease {
  readonly room: QueueRoom;
  readonly bullJob: BullJob;
  readonly token: string;
  readonly pool: string;
  readonly epoch: number;
  readonly lock: Lock;
}

type WriteJournal = (facts: Partial<Attempt>) => Promise<void>;

/**
 * The only place that ends a job. BullMQ checks the lock token in the same script, so a ghost changes nothing.
 * Tries again while Redis is away and the lock may still be ours.
 * @returns false when the lock was lost: the next holder finds the manifest, or renders again
 */
export async function settle(lease: Lease, outcome: Outcome, journal: WriteJournal): Promise<boolean> {
  while (lease.lock.isOurs()) {
    try {
      // First the journal: a crash in between leaves an end that a later attempt overrules, not a death that was none.
      await journal(attemptEnd(outcome));
      await move(lease, outcome);
      await tell(lease, outcome).catch(() => {}); // the job has ended; who watches looks for itself within 5 s
      return true;
    } catch (error) {
      if (isLockLost(error)) return isEndedByUs(lease, outcome);
      await sleep(250);
    }
  }
  return false;
}

async function move({ bullJob, token, room, pool }: Lease, outcome: Outcome): Promise<void> {
  switch (outcome.kind) {
    case "succeeded":
      await bullJob.moveToCompleted(outcome.manifest, token, false);
      return;
    case "failed":
      await bullJob.moveToFailed(new Error(JSON.stringify(outcome.error)), token, false);
      return;
    case "retry":
      await bullJob.moveToDelayed(nowMs() + outcome.afterMs, token);
      return;
    case "give_back":
      await bullJob.moveToWait(token);
      // moveJobFromActiveToWait.lua wakes nobody when the job has a priority, and all of ours have one (bullmq 6.7.0).
      await room.redis.zadd(room.names.bull(room.names.jobsQueue(pool), "marker"), 0, "0");
      return;
  }
}

/** BullMQ's error-code.js: the job is gone, its lock is gone, it is not active any more, or the lock is another's. */
const LOCK_LOST_CODES: readonly unknown[] = [-1, -2, -3, -6];

function isLockLost(error: unknown): boolean {
  return error instanceof Error && "code" in error && LOCK_LOST_CODES.includes(error.code);
}

/** A lost answer looks like a lost lock: if the job stands where we wanted it, it was us. */
async function isEndedByUs({ room, bullJob, pool, epoch }: Lease, outcome: Outcome): Promise<boolean> {
  const now = await room.jobs(pool).getJob(String(bullJob.id));
  if (now?.finishedOn === undefined || now.attemptsStarted !== epoch) return false;
  return outcome.kind === (now.failedReason ? "failed" : "succeeded");
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
  }
}

function statusAfter(outcome: Outcome): JobStatus {
  if (outcome.kind === "succeeded") return "succeeded";
  return outcome.kind === "failed" ? failedStatus(outcome.error) : "queued";
}

async function tell({ room, bullJob, pool, epoch }: Lease, outcome: Outcome): Promise<void> {
  const id = String(bullJob.id);
  const status = statusAfter(outcome);
  const failure = outcome.kind === "failed" || outcome.kind === "retry" ? outcome.error : undefined;
  const error = failure === undefined || failure.code === "canceled" ? null : failure;
  const event: JobEvent = { event: "status", data: { status, stage: null, attempt: epoch, error } };
  if (isTerminal(status)) await room.redis.zadd(room.names.retention, nowMs() + room.retentionMs, id);
  if (outcome.kind === "succeeded") await noteRenderTime(room, pool, outcome.manifest.metrics.render_ms);
  await appendEvent(room, id, event);
}
