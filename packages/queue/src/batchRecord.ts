import {
  type BatchCounts,
  type BatchFacts,
  BatchRow,
  BatchWebhook,
  type JobStatus,
  NewJob,
  toMoment,
  uuidV5,
} from "@comfyq/contract";
import * as z from "zod";
import { RecordRequest } from "./envelopes.ts";
import { guessEndSeconds } from "./guessEnd.ts";
import { paceOf } from "./pace.ts";
import type { QueueRoom } from "./room.ts";

/** Rows that stand in one field. */
export const ROWS_PER_CHUNK = 100;

/** What all rows of a batch say of themselves, and lists show. */
export const BatchHead = NewJob.omit({
  workflow: true,
  params: true,
  inputs: true,
  files: true,
  webhook: true,
  secrets: true,
})
  .extend({
    webhook: BatchWebhook.omit({ headers: true }).strip().optional(),
    /** The headers of its webhook, encrypted. */
    webhookHeaders: z.string().optional(),
  })
  .strip();
export type BatchHead = z.infer<typeof BatchHead>;

/** What is kept of a batch beside its rows. */
export interface BatchRecord {
  readonly id: string;
  readonly tenant: string;
  readonly pool: string;
  readonly createdAtMs: number;
  readonly completedAtMs: number | undefined;
  readonly isCanceled: boolean;
  readonly round: number;
  readonly head: BatchHead;
  /** What tells workflows of its kind from others, for guesses. */
  readonly shape: string | undefined;
  /** One letter for each row: batchScripts.ts. */
  readonly states: string;
}

/** @returns undefined when there is none, or it is of another tenant */
export async function readBatchRecord(
  { redis, names }: QueueRoom,
  tenant: string | undefined,
  id: string,
): Promise<BatchRecord | undefined> {
  const fields = [
    "tenant",
    "pool",
    "created_at_ms",
    "completed_at_ms",
    "cancel_requested_at_ms",
    "round",
    "head",
    "shape",
  ];
  const [[owner, pool, created, completed, canceled, round, head, shape], states] = await Promise.all([
    redis.hmget(names.batch(id), ...fields),
    redis.get(names.batchStates(id)),
  ]);
  if (!owner || !pool || !head || states === null || (tenant !== undefined && owner !== tenant)) return undefined;
  return {
    id,
    tenant: owner,
    pool,
    createdAtMs: Number(created),
    completedAtMs: completed ? Number(completed) : undefined,
    isCanceled: Boolean(canceled),
    round: Number(round),
    head: BatchHead.parse(JSON.parse(head)),
    shape: shape ?? undefined,
    states,
  };
}

/** What one row says for itself. */
export const RowValues = z.object({
  params: z.record(z.string(), z.unknown()),
  inputs: RecordRequest.shape.inputs.optional(),
  metadata: z.record(z.string(), z.unknown()).optional(),
  /** As it was sent, where that is more than its params. */
  sent: BatchRow.optional(),
});
export type RowValues = z.infer<typeof RowValues>;

const RowChunk = z.array(RowValues);

/** Values and retries of some rows, by row. */
export async function readRows(
  { redis, names }: QueueRoom,
  id: string,
  rows: readonly number[],
): Promise<ReadonlyMap<number, { readonly values: RowValues; readonly retries: number }>> {
  if (rows.length === 0) return new Map();
  const chunks = [...new Set(rows.map((row) => Math.floor(row / ROWS_PER_CHUNK)))];
  const [texts, tries] = await Promise.all([
    redis.hmget(names.batchRows(id), ...chunks.map(String)),
    redis.hmget(names.batchTries(id), ...rows.map(String)),
  ]);
  const parsed = new Map(chunks.map((chunk, at) => [chunk, RowChunk.parse(JSON.parse(texts[at] ?? "[]"))]));
  const found = rows.flatMap((row, at) => {
    const values = parsed.get(Math.floor(row / ROWS_PER_CHUNK))?.[row % ROWS_PER_CHUNK];
    return values ? [[row, { values, retries: Number(tries[at] ?? 0) }] as const] : [];
  });
  return new Map(found);
}

/** The job of a row; another one each time the row is retried. */
export function childId(batchId: string, row: number, retries: number): string {
  return uuidV5(retries === 0 ? `row/${row}` : `row/${row}/${retries}`, batchId);
}

const STATUS_OF: Readonly<Record<string, JobStatus>> = {
  ".": "queued",
  q: "queued",
  s: "succeeded",
  f: "failed",
  c: "canceled",
  x: "expired",
};

/** What the letters say of one row; a job that is made may also run. */
export function rowStatus(states: string, row: number): JobStatus {
  return STATUS_OF[states[row] ?? "."] ?? "queued";
}

/** What the customer may know of a batch. */
export async function toBatchFacts(room: QueueRoom, record: BatchRecord): Promise<BatchFacts> {
  const { head, states, completedAtMs, createdAtMs } = record;
  const isOpen = completedAtMs === undefined;
  const counts = countRows(states, isOpen ? await countRunning(room, record) : 0);
  const open = counts.queued + counts.running;
  return {
    id: record.id,
    tenant: record.tenant,
    status: statusOf(record),
    created_at: toMoment(createdAtMs),
    run_at: head.run_at ?? null,
    completed_at: isOpen ? null : toMoment(completedAtMs),
    expires_at: isOpen ? null : toMoment(completedAtMs + room.retentionMs),
    counts,
    progress: (counts.total - open) / counts.total,
    eta_s: isOpen ? await guessRest(room, record, open) : null,
    round: record.round,
    pool: record.pool,
    priority: head.priority,
    metadata: head.metadata,
    tags: head.tags,
  };
}

function statusOf({ completedAtMs, isCanceled }: BatchRecord): BatchFacts["status"] {
  if (completedAtMs === undefined) return isCanceled ? "canceling" : "running";
  return isCanceled ? "canceled" : "completed";
}

function countRows(states: string, running: number): BatchCounts {
  const counts = { total: states.length, queued: 0, running: 0, succeeded: 0, failed: 0, canceled: 0, expired: 0 };
  for (let row = 0; row < states.length; row += 1) {
    const status = rowStatus(states, row);
    if (status !== "running" && status !== "canceling") counts[status] += 1;
  }
  const known = Math.min(running, counts.queued);
  return { ...counts, queued: counts.queued - known, running: known };
}

/** Whoever runs is in the pool's list of active jobs, which is as long as there are workers. */
async function countRunning({ redis, names }: QueueRoom, { id, pool }: BatchRecord): Promise<number> {
  const active = await redis.lrange(names.bull(names.jobsQueue(pool), "active"), 0, -1);
  const owners = await Promise.all(active.map((jobId) => redis.hget(names.record(jobId), "batch")));
  return owners.filter((owner) => owner === id).length;
}

/** Rows are of one shape, so what one of them took tells of all. */
async function guessRest(room: QueueRoom, { pool, shape }: BatchRecord, open: number): Promise<number | null> {
  const pace = await paceOf(room, pool, shape);
  return guessEndSeconds(open, { ...pace, mean: pace.own ?? pace.mean });
}
