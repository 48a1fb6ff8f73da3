import { filesPrefix, isTerminal, jobPrefix } from "@comfyq/contract";
import { RELEASE_RECORD } from "./assetUses.ts";
import { finishWithdrawal, withdrawJob } from "./cancelJob.ts";
import { nowMs } from "./clock.ts";
import { reconcileOpen } from "./openJobs.ts";
import { readJob } from "./readJob.ts";
import { type JobRecord, readRecord } from "./record.ts";
import { redisNowMs } from "./redisClock.ts";
import type { QueueRoom } from "./room.ts";
import { lookAfterLines } from "./seats.ts";

/** Removes the stored files of a job; called before the job itself is forgotten, so that nothing is orphaned. */
export type RemoveFiles = (prefix: string) => Promise<void>;

/**
 * Forgets jobs that ended longer ago than the retention, and their files with them. Everything younger, and everything
 * that has not ended, stays.
 * @returns how many were removed; call again when it is a full batch
 */
export async function sweepRetention(room: QueueRoom, removeFiles: RemoveFiles): Promise<number> {
  await reconcileOpen(room);
  const due = await room.redis.zrange(
    room.names.retention,
    "-inf",
    String(nowMs()),
    "BYSCORE",
    "LIMIT",
    0,
    room.settings.sweepBatch,
  );
  let removed = 0;
  for (const jobId of due) if (await sweepOne(room, jobId, removeFiles)) removed += 1;
  return removed;
}

async function sweepOne(room: QueueRoom, jobId: string, removeFiles: RemoveFiles): Promise<boolean> {
  const record = await readRecord(room.redis, room.names, jobId);
  const job = record && (await readJob(room, record.tenant, jobId));
  const endedAtMs = job?.completed_at ? Date.parse(job.completed_at) : undefined;
  const dueAtMs = endedAtMs === undefined ? undefined : endedAtMs + room.retentionMs;
  if (job && (!isTerminal(job.status) || dueAtMs === undefined || dueAtMs > nowMs())) {
    await room.redis.zadd(room.names.retention, dueAtMs ?? nowMs() + room.settings.retentionRecheckMs, jobId);
    return false;
  }
  for (const prefix of new Set([filesPrefix(jobId, record?.head.output), jobPrefix(jobId)])) await removeFiles(prefix);
  await forget(room, jobId, record);
  return job !== undefined;
}

async function forget(
  room: QueueRoom,
  jobId: string,
  record: Pick<JobRecord, "pool" | "tenant" | "head"> | undefined,
): Promise<void> {
  const { names, redis } = room;
  if (record) {
    await (await room.jobs(record.pool).getJob(jobId))?.remove();
    await (await room.settlements.getJob(jobId))?.remove();
  }
  const pipeline = redis
    .pipeline()
    .del(names.attempts(jobId), names.events(jobId))
    .eval(RELEASE_RECORD, 3, names.record(jobId), names.assets, names.assetJobs)
    .zrem(names.retention, jobId)
    .zrem(names.expiring, jobId);
  if (record) pipeline.zrem(names.ended(record.tenant), jobId).zrem(names.open(record.tenant), jobId);
  if (record) pipeline.srem(names.busy(record.tenant, record.pool), jobId); // nobody was there to tell its end
  if (record?.head.batch) pipeline.zrem(names.batchJobs(record.head.batch.id), jobId);
  for (const tag of record ? [undefined, ...record.head.tags] : [])
    if (record) pipeline.zrem(names.index(record.tenant, tag), jobId);
  await pipeline.exec();
}

/**
 * Ends jobs whose `expires_in_s` ran out while they waited, and those that somebody wanted canceled while a worker had them
 * which then gave them back or was lost; completes withdrawals that a crash cut in half.
 * @returns how many were ended
 */
export async function sweepExpired(room: QueueRoom): Promise<number> {
  const { redis, names, settings } = room;
  for (const jobId of await redis.smembers(names.withdrawn)) {
    const record = await readRecord(redis, names, jobId);
    if (record) await finishWithdrawal(room, record.pool, jobId);
  }
  await lookAfterLines(room);
  const atMs = await redisNowMs(redis);
  const due = await redis.zrange(names.expiring, "-inf", String(atMs), "BYSCORE", "LIMIT", 0, settings.sweepBatch);
  let ended = 0;
  for (const jobId of due) if (await endOverdue(room, jobId, atMs)) ended += 1;
  return ended;
}

async function endOverdue(room: QueueRoom, jobId: string, atMs: number): Promise<boolean> {
  const { redis, names, settings } = room;
  const record = await readRecord(redis, names, jobId);
  const job = record && (await readJob(room, record.tenant, jobId));
  if (job?.status === "canceling") {
    const isCanceled = await withdrawJob(room, { id: jobId, pool: job.pool, atMs, reason: "cancel_requested_at_ms" });
    if (isCanceled) await redis.zrem(names.expiring, jobId);
    // A worker has it still, or it is between two.
    else await redis.zadd(names.expiring, atMs + settings.sweepCanceledEveryMs, jobId);
    return isCanceled;
  }
  const neverStarted = job?.status === "queued" && job.attempts === 0;
  const isExpired =
    neverStarted && (await withdrawJob(room, { id: jobId, pool: job.pool, atMs, reason: "expired_at_ms" }));
  await redis.zrem(names.expiring, jobId);
  return isExpired;
}
