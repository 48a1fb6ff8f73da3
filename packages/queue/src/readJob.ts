import {
  type Attempt,
  isTerminal,
  type JobFacts,
  JobFailure,
  type JobStatus,
  jobFailure,
  Manifest,
  type TerminalStatus,
  toMoment,
} from "@comfyq/contract";
import type { Job as BullJob, JobState } from "bullmq";
import { nowMs } from "./clock.ts";
import { guessEndSeconds, guessRestSeconds } from "./guessEnd.ts";
import { paceOf } from "./pace.ts";
import { type JobRecord, type Journal, readJournal, readRecord } from "./record.ts";
import type { QueueRoom } from "./room.ts";
import { expiredFailure, failedStatus, openStatus } from "./stateOf.ts";

/** What BullMQ holds of one job, read state first: facts of the end, read later, win over an older state. */
interface BullFacts {
  readonly state: JobState | "unknown";
  /** Number of the newest start, declined ones included. */
  readonly startedEpoch: number;
  readonly finishedAtMs: number | undefined;
  readonly failedReason: string | undefined;
  readonly result: Manifest | undefined;
}

/**
 * What the customer may know of one job, or undefined when there is none of this tenant (or none that was made durable).
 * @throws QueueError `unavailable`
 */
export async function readJob(room: QueueRoom, tenant: string, jobId: string): Promise<JobFacts | undefined> {
  const record = await readRecord(room.redis, room.names, jobId);
  if (!record || (record.tenant !== tenant && !room.breaks.has("no_tenant_check"))) return undefined;
  const [bull, journal] = await Promise.all([
    readBull(room, record.pool, jobId),
    readJournal(room.redis, room.names, jobId),
  ]);
  if (!bull && record.cancelRequestedAtMs === undefined && record.expiredAtMs === undefined) return undefined;
  const facts = toFacts(jobId, { record, journal, bull, retentionMs: room.retentionMs });
  if (facts.status === "running") return { ...facts, ...(await restOfRun(room, record, journal)) };
  return facts.status === "queued" ? { ...facts, ...(await placeInQueue(room, record, jobId)) } : facts;
}

/**
 * How a job ended, for whoever needs no more of it, in one look.
 * @param record as it was read after the end
 * @returns undefined when it has not; `gone` when BullMQ has it no more and nothing says why
 */
export async function readEnd(
  room: QueueRoom,
  jobId: string,
  record: JobRecord,
): Promise<TerminalStatus | "gone" | undefined> {
  const job: BullJob<unknown, unknown> | undefined = await room.jobs(record.pool).getJob(jobId);
  const end = endOf({ record, bull: job && factsOf(job, "unknown") });
  return end?.status ?? (job ? undefined : "gone");
}

async function readBull(room: QueueRoom, pool: string, jobId: string): Promise<BullFacts | undefined> {
  const queue = room.jobs(pool);
  const state = await queue.getJobState(jobId);
  const job: BullJob<unknown, unknown> | undefined = await queue.getJob(jobId);
  return job && factsOf(job, state);
}

function factsOf(job: BullJob<unknown, unknown>, state: BullFacts["state"]): BullFacts {
  const finishedAtMs = job.finishedOn;
  return {
    state,
    startedEpoch: job.attemptsStarted,
    finishedAtMs,
    failedReason: finishedAtMs === undefined ? undefined : job.failedReason,
    result: finishedAtMs === undefined || job.failedReason ? undefined : Manifest.parse(job.returnvalue),
  };
}

interface Sources {
  readonly retentionMs: number;
  readonly record: JobRecord;
  readonly journal: Journal;
  readonly bull: BullFacts | undefined;
}

interface End {
  readonly status: TerminalStatus;
  readonly atMs: number;
  readonly error: JobFailure | null;
}

/** How the job ended, if it has. Without a BullJob it was withdrawn while it waited; expiry is noted in that very step. */
function endOf({ record, bull }: Pick<Sources, "record" | "bull">): End | undefined {
  if (bull?.finishedAtMs === undefined) {
    const { cancelRequestedAtMs, expiredAtMs } = record;
    if (expiredAtMs !== undefined) return { status: "expired", atMs: expiredAtMs, error: expiredFailure() };
    const isWithdrawn = !bull && cancelRequestedAtMs !== undefined;
    return isWithdrawn ? { status: "canceled", atMs: cancelRequestedAtMs, error: null } : undefined;
  }
  if (!bull.failedReason) return { status: "succeeded", atMs: bull.finishedAtMs, error: null };
  const error = readFailure(bull.failedReason);
  const status = failedStatus(error);
  return { status, atMs: bull.finishedAtMs, error: status === "canceled" ? null : error };
}

/** settle.ts writes JSON; any other text is BullMQ's own, which ends a job only when its workers kept dying. */
function readFailure(failedReason: string): JobFailure {
  try {
    return JobFailure.parse(JSON.parse(failedReason));
  } catch {
    return jobFailure("poison", `The queue gave this job up: ${failedReason}`);
  }
}

/** Pure: BullMQ's facts, the record and the journal → the job. */
export function toFacts(jobId: string, sources: Sources): JobFacts {
  const { record, journal, bull, retentionMs } = sources;
  const end = endOf(sources);
  const newest = journal.attempts.at(-1);
  const first = journal.attempts[0];
  const status = end?.status ?? statusOfOpen(sources);
  const isActive = status === "running" || status === "canceling";
  return {
    id: jobId,
    tenant: record.tenant,
    status,
    stage: isActive ? (newest?.stage ?? "preparing") : null,
    created_at: toMoment(record.createdAtMs),
    run_at: record.head.run_at ?? null,
    started_at: first?.started_at ?? null,
    completed_at: end ? toMoment(end.atMs) : null,
    expires_at: end ? toMoment(end.atMs + retentionMs) : null,
    queue_position: null,
    eta_s: null,
    progress: isActive || isTerminal(status) ? (journal.progress ?? null) : null,
    outputs: bull?.result?.outputs ?? [],
    output: record.head.output,
    sealed_epoch: bull?.result?.epoch ?? null,
    epoch: newest?.epoch ?? 0,
    error: end?.error ?? null,
    stop: newest?.stop ?? null,
    attempts: journal.attempts.length,
    max_attempts: record.head.max_attempts,
    instance: newest?.instance ?? null,
    cached: bull?.result?.cached ?? false,
    metrics: metricsOf(record, first, bull?.result ?? newest),
    pool: record.pool,
    priority: record.head.priority,
    timeout_s: record.head.timeout_s,
    metadata: record.head.metadata,
    tags: record.head.tags,
    batch: record.head.batch ?? null,
    schedule: record.head.schedule ?? null,
  };
}

function statusOfOpen({ record, journal, bull }: Sources): JobStatus {
  return openStatus({
    state: bull?.state ?? "unknown",
    isBegun: bull?.startedEpoch === journal.attempts.at(-1)?.epoch,
    cancelRequested: record.cancelRequestedAtMs !== undefined,
  });
}

type Times = Pick<Attempt, "prepare_ms" | "render_ms" | "store_ms">;

function metricsOf(
  record: JobRecord,
  first: Attempt | undefined,
  last: Manifest | Attempt | undefined,
): JobFacts["metrics"] {
  const times: Times | undefined = last && ("metrics" in last ? last.metrics : last);
  return {
    queued_ms: first ? Math.max(0, Date.parse(first.started_at) - record.createdAtMs) : null,
    prepare_ms: times?.prepare_ms ?? null,
    render_ms: times?.render_ms ?? null,
    store_ms: times?.store_ms ?? null,
  };
}

/** Position among the waiting (1 = next), and when it will probably have ended. */
async function placeInQueue(
  room: QueueRoom,
  { pool, shape }: JobRecord,
  jobId: string,
): Promise<Pick<JobFacts, "queue_position" | "eta_s">> {
  const { redis, names } = room;
  const queue = names.jobsQueue(pool);
  const [rank, moved, front, pace] = await Promise.all([
    redis.zrank(names.bull(queue, "prioritized"), jobId),
    redis.llen(names.bull(queue, "wait")),
    redis.lpos(names.bull(queue, "wait"), jobId),
    paceOf(room, pool, shape),
  ]);
  // What was given back, or moved before all others, stands in `wait`: its right end is the next.
  const position = rank === null ? front !== null && moved - front : moved + rank + 1;
  if (position === false) return { queue_position: null, eta_s: null };
  return { queue_position: position, eta_s: guessEndSeconds(position, pace) };
}

async function restOfRun(
  room: QueueRoom,
  { pool, shape }: JobRecord,
  { attempts }: Journal,
): Promise<Pick<JobFacts, "eta_s">> {
  const newest = attempts.at(-1);
  if (!newest) return { eta_s: null };
  const pace = await paceOf(room, pool, shape);
  return { eta_s: guessRestSeconds(Math.max(0, nowMs() - Date.parse(newest.started_at)), pace) };
}
