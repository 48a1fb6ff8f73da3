import type { BatchFacts, JobFacts, JobStatus, TerminalStatus } from "@comfyq/contract";
import { type BatchRecord, childId, readBatchRecord, readRows, rowStatus, toBatchFacts } from "./batchRecord.ts";
import { CANCEL_BATCH, RETRY_ROWS, ROW_LETTERS } from "./batchScripts.ts";
import { type Care, careForBatch, neglectedBatches } from "./careForBatch.ts";
import { type BatchSubmission, commitBatch, keyReused, roomKeys } from "./commitBatch.ts";
import { orUnavailable, QueueError } from "./errors.ts";
import { runNamed } from "./luaScript.ts";
import { readJob } from "./readJob.ts";
import { refusedRows } from "./refusal.ts";
import type { QueueRoom } from "./room.ts";
import { cursorAt, parseCursor, placesAfter } from "./timeline.ts";

/** One row, and the newest job that was made of it. */
export interface BatchRowFacts {
  readonly row: number;
  readonly params: Readonly<Record<string, unknown>>;
  readonly status: JobStatus;
  /** Undefined when none was made yet, or it was swept. */
  readonly job: JobFacts | undefined;
  readonly jobId: string | undefined;
  readonly earlierJobIds: readonly string[];
}

/** Batches as the API uses them; undefined stands for an unknown one and another tenant's alike. */
export interface BatchDesk {
  /** @returns true when it was there before. @throws QueueError as `commitBatch` */
  commit(batch: BatchSubmission): Promise<boolean>;
  /** Is there a batch of this id, and was it made of this body? @throws QueueError `key_reuse` when of another */
  isRepeat(batch: Pick<BatchSubmission, "id" | "tenant" | "bodySha256" | "canonicalSha256">): Promise<boolean>;
  /** For operators: rows whose job is not made yet, by pool, and batches that somebody should have looked after. */
  backlog(): Promise<{ readonly unmade: Readonly<Record<string, number>>; readonly neglected: number }>;
  /** Begins at once what the dispatcher would do anyhow: makes its jobs, or cancels them. */
  work(id: string, care: Care): Promise<void>;
  read(tenant: string, id: string): Promise<BatchFacts | undefined>;
  list(query: {
    readonly tenant: string;
    readonly limit: number;
    readonly cursor?: string | undefined;
  }): Promise<{ readonly batches: readonly BatchFacts[]; readonly nextCursor: string | undefined }>;
  /** Rows from one on, in their order. */
  rows(
    tenant: string,
    id: string,
    page: { readonly from: number; readonly limit: number },
  ): Promise<readonly BatchRowFacts[] | undefined>;
  /** @throws QueueError `conflict` when it has ended otherwise */
  cancel(tenant: string, id: string): Promise<BatchFacts | undefined>;
  /** @throws QueueError `conflict` while it is being canceled, `full`, `limited` */
  retry(
    tenant: string,
    id: string,
    statuses: readonly Exclude<TerminalStatus, "succeeded">[],
  ): Promise<BatchFacts | undefined>;
}

export function openBatchDesk(room: QueueRoom): BatchDesk {
  const owned = async <T>(
    tenant: string,
    id: string,
    use: (record: BatchRecord) => Promise<T>,
  ): Promise<T | undefined> => {
    const record = await readBatchRecord(room, tenant, id);
    return record && use(record);
  };
  const read = (tenant: string, id: string) => owned(tenant, id, (record) => toBatchFacts(room, record));
  return {
    commit: (batch) => commitBatch(room, batch),
    isRepeat: (batch) => orUnavailable("a batch was looked for", isRepeat(room, batch)),
    backlog: () => orUnavailable("batches were counted", backlog(room)),
    work: (id, care) =>
      orUnavailable(
        "jobs of a batch were made",
        careForBatch(room, id, care).then(() => undefined),
      ),
    read: (tenant, id) => orUnavailable("a batch was read", read(tenant, id)),
    list: (query) => orUnavailable("batches were listed", list(room, query)),
    rows: (tenant, id, page) =>
      orUnavailable(
        "rows were read",
        owned(tenant, id, (record) => rowsOf(room, record, page)),
      ),
    cancel: (tenant, id) =>
      orUnavailable(
        "a batch was canceled",
        owned(tenant, id, async (record) => {
          await cancel(room, record);
          return read(tenant, id);
        }),
      ),
    retry: (tenant, id, statuses) =>
      orUnavailable(
        "a batch was retried",
        owned(tenant, id, async (record) => {
          await retry(room, record, statuses);
          return read(tenant, id);
        }),
      ),
  };
}

async function backlog(room: QueueRoom): ReturnType<BatchDesk["backlog"]> {
  const [reserved, neglected] = await Promise.all([room.redis.hgetall(room.names.reserved), neglectedBatches(room)]);
  const unmade = Object.fromEntries(Object.entries(reserved).map(([pool, rows]) => [pool, Number(rows)]));
  return { unmade, neglected: neglected.length };
}

async function isRepeat(
  { redis, names }: QueueRoom,
  { id, tenant, bodySha256, canonicalSha256 }: Parameters<BatchDesk["isRepeat"]>[0],
): Promise<boolean> {
  const [owner, kept, canonical] = await redis.hmget(names.batch(id), "tenant", "body_sha256", "canonical_sha256");
  if (owner !== tenant) return false;
  if (kept === bodySha256 || canonical === canonicalSha256) return true;
  throw keyReused();
}

async function list(
  room: QueueRoom,
  { tenant, limit, cursor }: Parameters<BatchDesk["list"]>[0],
): ReturnType<BatchDesk["list"]> {
  const stretch = { index: room.names.batchIndex(tenant), from: "-inf", to: "+inf" };
  const after = parseCursor(cursor);
  const places = await placesAfter(room, stretch, { after, count: limit });
  const records = await Promise.all(places.map(({ id }) => readBatchRecord(room, tenant, id)));
  const batches = await Promise.all(
    records.filter((found) => found !== undefined).map((found) => toBatchFacts(room, found)),
  );
  const last = places.length === limit ? places.at(-1) : undefined;
  return { batches, nextCursor: last && (await cursorAt(room, stretch, last)) };
}

async function rowsOf(
  room: QueueRoom,
  { id, tenant, states }: BatchRecord,
  { from, limit }: { readonly from: number; readonly limit: number },
): Promise<readonly BatchRowFacts[]> {
  const wanted = Array.from({ length: Math.max(0, Math.min(limit, states.length - from)) }, (_, at) => from + at);
  const found = await readRows(room, id, wanted);
  return Promise.all(
    [...found].map(async ([row, { values, retries }]) => {
      const newest = states[row] === "." ? retries - 1 : retries;
      const ids = Array.from({ length: newest + 1 }, (_, made) => childId(id, row, made));
      const jobId = ids.at(-1);
      const isMade = states[row] !== "." && jobId !== undefined;
      const job = isMade ? await readJob(room, tenant, jobId) : undefined;
      const status = states[row] === "q" ? (job?.status ?? "queued") : rowStatus(states, row);
      const isCurrent = states[row] !== ".";
      return {
        row,
        params: values.sent ?? values.params,
        status,
        job,
        jobId: isCurrent && (job !== undefined || states[row] !== "c") ? jobId : undefined,
        earlierJobIds: isCurrent ? ids.slice(0, -1) : ids,
      };
    }),
  );
}

async function cancel(room: QueueRoom, { id, tenant, pool }: BatchRecord): Promise<void> {
  const { redis, names, settings, retentionMs } = room;
  const became = await runNamed(redis, CANCEL_BATCH, {
    keys: {
      batch: names.batch(id),
      states: names.batchStates(id),
      care: names.batchCare,
      reserved: names.reserved,
      promised: names.promised,
      retention: names.batchRetention,
    },
    values: { id, tenant, pool, retentionMs, leaseMs: Math.round(settings.batchLeaseMs) },
  });
  if (became === "ended") throw new QueueError("conflict", `Batch ${id} has already ended; there is nothing to cancel`);
}

async function retry(
  room: QueueRoom,
  { id, tenant, pool }: BatchRecord,
  statuses: readonly Exclude<TerminalStatus, "succeeded">[],
): Promise<void> {
  const { redis, names, settings } = room;
  const answer = await runNamed(redis, RETRY_ROWS, {
    keys: {
      batch: names.batch(id),
      states: names.batchStates(id),
      tries: names.batchTries(id),
      care: names.batchCare,
      retention: names.batchRetention,
      ...roomKeys(room, { tenant, pool }),
    },
    values: {
      id,
      tenant,
      pool,
      letters: statuses.map((status) => ROW_LETTERS[status]).join(""),
      queueCap: settings.queueCap,
      leaseMs: Math.round(settings.batchLeaseMs),
      paceMs: settings.paceMs,
    },
  });
  const [kind, rows, ...said]: readonly unknown[] = Array.isArray(answer) ? answer : [];
  if (kind === "canceling")
    throw new QueueError("conflict", `Batch ${id} is being canceled; retry it when it has ended`);
  if (kind === "refused") throw await refusedRows(room, said.map(String), { pool, jobs: Number(rows) });
}
