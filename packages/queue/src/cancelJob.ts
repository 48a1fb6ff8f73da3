import { isTerminal, type JobEvent, type JobFacts } from "@comfyq/contract";
import { chargeDeathsOf } from "./chargeDeaths.ts";
import { nowMs } from "./clock.ts";
import { orUnavailable, QueueError } from "./errors.ts";
import { appendEvent, noticeGrowth } from "./jobEvents.ts";
import { leaveOpen } from "./openJobs.ts";
import { readJob } from "./readJob.ts";
import type { QueueRoom } from "./room.ts";
import { noteWish, type WithdrawReason, withdraw } from "./scripts.ts";

/**
 * Asks for a job to be canceled. A waiting job is canceled when this returns; a running one is `canceling`, and its worker
 * has been told. Safe to repeat.
 * @returns the job after the request; undefined when there is none of this tenant
 * @throws QueueError `conflict` when it has already ended otherwise, `unavailable`
 */
export async function cancelJob(room: QueueRoom, tenant: string, jobId: string): Promise<JobFacts | undefined> {
  return orUnavailable("a job was canceled", cancel(room, tenant, jobId));
}

async function cancel(room: QueueRoom, tenant: string, jobId: string): Promise<JobFacts | undefined> {
  const job = await readJob(room, tenant, jobId);
  if (!job || job.status === "canceled") return job;
  if (isTerminal(job.status) && room.breaks.has("cancel_overrules_end")) return overruleEnd(room, job);
  if (isTerminal(job.status)) throw tooLate(job);
  const wanted: WantedJob = { id: jobId, pool: job.pool, atMs: nowMs(), reason: "cancel_requested_at_ms" };
  if (!(await withdrawJob(room, wanted)) && !(await tellTheWorker(room, wanted))) return cancel(room, tenant, jobId); // it has ended meanwhile: as what?
  const after = await readJob(room, tenant, jobId);
  if (after && isTerminal(after.status) && after.status !== "canceled") throw tooLate(after); // before its worker heard
  return after;
}

function tooLate({ id, status }: JobFacts): QueueError {
  return new QueueError("conflict", `Job ${id} has already ended as ${status}; there is nothing to cancel`);
}

/** What must never be: there to see that the checker of promise I2 notices. */
async function overruleEnd(room: QueueRoom, { tenant, id, pool }: JobFacts): Promise<JobFacts | undefined> {
  await room.redis.hset(room.names.record(id), "cancel_requested_at_ms", nowMs());
  await finishWithdrawal(room, pool, id);
  return readJob(room, tenant, id);
}

interface WantedJob {
  readonly id: string;
  readonly pool: string;
  readonly atMs: number;
  readonly reason: WithdrawReason;
}

const cancelingEvent: JobEvent = {
  event: "status",
  data: { status: "canceling", stage: null, attempt: 0, error: null },
};

/**
 * The note is for whoever holds the job now or next; the messages only make it quick.
 * @returns false when there is nobody to tell: the job has ended
 */
async function tellTheWorker(room: QueueRoom, job: WantedJob): Promise<boolean> {
  if (!(await noteWish(room, { ...job, event: cancelingEvent }))) return false;
  await room.redis.publish(room.names.cancels, job.id);
  await noticeGrowth(room, job.id);
  // Between the try to withdraw and the note the holder may have given the job back; nobody would look at the note then.
  await withdrawJob(room, job);
  return true;
}

/** Takes a waiting job out of its queue and frees whoever waits to tell of it. @returns false when it does not wait */
export async function withdrawJob(room: QueueRoom, job: WantedJob): Promise<boolean> {
  const status = await withdraw(room.redis, room.names, job);
  if (!status) return false;
  await finishWithdrawal(room, job.pool, job.id);
  await appendEvent(room, job.id, { event: "status", data: { status, stage: null, attempt: 0, error: null } });
  return true;
}

/**
 * Second half of a withdrawal: removes the BullJob, which frees its parent with neither result nor error (measured with
 * 6.7.0). Safe to repeat; the sweeper does so after a crash between the halves.
 */
export async function finishWithdrawal(room: QueueRoom, pool: string, jobId: string): Promise<void> {
  const bullJob = await room.jobs(pool).getJob(jobId);
  if (bullJob && bullJob.attemptsStarted > 0) await chargeDeathsOf(room, jobId); // nobody else takes it up any more
  await bullJob?.remove();
  const [tenant, expiredAtMs] = await room.redis.hmget(room.names.record(jobId), "tenant", "expired_at_ms");
  if (tenant) await leaveOpen(room, { tenant, jobId, isShown: Boolean(expiredAtMs) });
  await room.redis.srem(room.names.withdrawn, jobId);
}
