import { assetIdsOf, type JobEvent, type NewJob } from "@comfyq/contract";
import type { JobsOptions } from "bullmq";
import { nowMs } from "./clock.ts";
import { type JobEnvelope, type JobSubmission, type Settlement, toBullPriority } from "./envelopes.ts";
import { orUnavailable, QueueError } from "./errors.ts";
import { appendEvent } from "./jobEvents.ts";
import { toRecordFields } from "./record.ts";
import type { QueueRoom } from "./room.ts";
import { reserve } from "./scripts.ts";

export interface Submitted {
  /** True when this id was submitted before with the same body; nothing new was queued. */
  readonly replayed: boolean;
}

/**
 * Makes a job durable and queued. Safe to repeat with the same id: it then changes nothing.
 * The record is written first, so a crash in between leaves a record without a BullJob, which nobody sees, and which the
 * same id completes. The 2xx is given only after BullMQ has answered.
 * @throws QueueError `unavailable` | `full` | `key_reuse` | `missing_asset`
 */
export async function submitJob(room: QueueRoom, submission: JobSubmission): Promise<Submitted> {
  return orUnavailable("a job was queued", submit(room, submission));
}

async function submit(
  room: QueueRoom,
  { id, tenant, job, bodySha256, sealedSecrets }: JobSubmission,
): Promise<Submitted> {
  const found = await reserve(room, {
    jobId: id,
    tenant,
    pool: job.pool,
    tags: job.tags,
    expiresInMs: job.expires_in_s === undefined ? undefined : job.expires_in_s * 1_000,
    bodySha256,
    sealedSecrets,
    assets: assetIdsOf(job),
    ...toRecordFields(job),
  });
  if (found === "full")
    throw new QueueError(
      "full",
      `Pool ${job.pool} already has ${room.settings.queueCap} jobs waiting; try again later`,
    );
  const [, missing] = /^missing [^/]+\/(.+)$/.exec(found) ?? [];
  if (missing !== undefined)
    throw new QueueError(
      "missing_asset",
      `There is no asset ${missing} any more; upload it again with POST /v1/assets`,
    );
  if (found !== "new" && found !== bodySha256)
    throw new QueueError("key_reuse", "This Idempotency-Key was used with another body; use a new key for a new job");
  if (found !== "new" && (await isKnown(room, job.pool, id))) return { replayed: true };
  await enqueue(room, { id, tenant, job, bodySha256 });
  await appendEvent(room, id, queuedEvent);
  return { replayed: found !== "new" };
}

const queuedEvent: JobEvent = { event: "status", data: { status: "queued", stage: null, attempt: 0, error: null } };

/** A job that BullMQ has, or that was withdrawn, must not be added again: its parent would settle twice. */
async function isKnown(room: QueueRoom, pool: string, id: string): Promise<boolean> {
  const [bull, canceled, expired] = await Promise.all([
    room.redis.exists(room.names.bull(room.names.jobsQueue(pool), id)),
    room.redis.hexists(room.names.record(id), "cancel_requested_at_ms"),
    room.redis.hexists(room.names.record(id), "expired_at_ms"),
  ]);
  return bull + canceled + expired > 0;
}

async function enqueue(room: QueueRoom, { id, tenant, job }: JobSubmission): Promise<void> {
  const envelope: JobEnvelope = { v: 1, tenant };
  const opts = { ...bullOptions(id, job), ignoreDependencyOnFailure: true };
  if (!job.webhook) {
    await room.jobs(job.pool).add("job", envelope, bullOptions(id, job));
    return;
  }
  // The outbox: the telling is enqueued in the same step as the job, and freed exactly once when the job ends.
  const settlement: Settlement = { v: 1, tenant, jobId: id, what: "ended" };
  await room.flow.add({
    name: "settlement",
    queueName: room.names.settlementsQueue,
    data: settlement,
    opts: { jobId: id, attempts: 1_000_000, backoff: { type: "fixed", delay: 5_000 }, stackTraceLimit: 1 },
    children: [{ name: "job", queueName: room.names.jobsQueue(job.pool), data: envelope, opts }],
  });
}

function bullOptions(id: string, job: NewJob): JobsOptions {
  return {
    jobId: id,
    priority: toBullPriority(job.priority),
    delay: job.run_at === undefined ? 0 : Math.max(0, Date.parse(job.run_at) - nowMs()),
    attempts: 1, // decideOutcome decides about another try, not BullMQ
    stackTraceLimit: 0,
    removeOnComplete: false, // retention is swept (sweeping.ts), with the files
    removeOnFail: false,
  };
}
