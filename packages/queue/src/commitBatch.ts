import { assetIdsOf, type InputSource, type NewJob } from "@comfyq/contract";
import { assetMember } from "./assetUses.ts";
import { type BatchHead, ROWS_PER_CHUNK, type RowValues } from "./batchRecord.ts";
import { COMMIT_BATCH } from "./batchScripts.ts";
import type { RecordRequest } from "./envelopes.ts";
import { orUnavailable, QueueError } from "./errors.ts";
import { runNamed } from "./luaScript.ts";
import { redisNowMs } from "./redisClock.ts";
import { refusedRows } from "./refusal.ts";
import type { QueueRoom } from "./room.ts";
import { shapeOf } from "./shapeOf.ts";

/** A batch that was checked: what its rows share, and what each says for itself, seeds rolled. */
export interface BatchSubmission {
  readonly id: string;
  readonly tenant: string;
  readonly head: BatchHead;
  readonly request: RecordRequest;
  readonly rows: readonly RowValues[];
  readonly bodySha256: string;
  readonly canonicalSha256: string;
  readonly sealedSecrets: string | undefined;
}

/**
 * Makes a batch durable, all of it or nothing, in one step: from then on its jobs are made, whoever dies. Safe to repeat with the
 * same id.
 * @returns true when it was there before
 * @throws QueueError `unavailable` | `full` | `limited` | `key_reuse` | `missing_asset`
 */
export async function commitBatch(room: QueueRoom, batch: BatchSubmission): Promise<boolean> {
  const answer = await orUnavailable("a batch was queued", write(room, batch));
  const said: readonly unknown[] = Array.isArray(answer) ? answer : [];
  const [kind, fact] = said;
  switch (kind) {
    case "new":
      return false;
    case "known":
      return true;
    case "reused":
      // The same body in another order of its keys is the same body.
      if (fact === batch.canonicalSha256) return true;
      throw keyReused();
    case "missing":
      throw new QueueError(
        "missing_asset",
        `There is no asset ${String(fact).split("/").at(-1)} any more; upload it again with POST /v1/assets`,
      );
    default:
      throw await refusedRows(room, said.map(String), { pool: batch.head.pool, jobs: batch.rows.length });
  }
}

async function write(room: QueueRoom, batch: BatchSubmission): Promise<unknown> {
  const { redis, names, settings } = room;
  const { id, tenant, head, rows } = batch;
  const runAtMs = head.run_at === undefined ? 0 : Date.parse(head.run_at);
  const isLater = runAtMs > (await redisNowMs(redis));
  const chunks = chunked(rows).map((chunk) => JSON.stringify(chunk));
  return runNamed(redis, COMMIT_BATCH, {
    keys: {
      batch: names.batch(id),
      rows: names.batchRows(id),
      states: names.batchStates(id),
      index: names.batchIndex(tenant),
      care: names.batchCare,
      pools: names.pools,
      assets: names.assets,
      assetJobs: names.assetJobs,
      ...roomKeys(room, { tenant, pool: head.pool }),
    },
    values: {
      queueCap: settings.queueCap,
      id,
      tenant,
      pool: head.pool,
      bodySha256: batch.bodySha256,
      canonicalSha256: batch.canonicalSha256,
      head: JSON.stringify(head),
      request: JSON.stringify(batch.request),
      sealedSecrets: batch.sealedSecrets ?? "",
      total: rows.length,
      careAtMs: isLater ? runAtMs : "",
      leaseMs: Math.round(settings.batchLeaseMs),
      shape: shapeOf(batch.request.workflow),
      paceMs: settings.paceMs,
      chunks: chunks.length,
    },
    moreValues: [...chunks, ...assetsOf(batch).map((assetId) => assetMember(tenant, assetId))],
  });
}

/** What CHECK_ROOM looks at. */
export function roomKeys({ names }: QueueRoom, { tenant, pool }: { readonly tenant: string; readonly pool: string }) {
  const queue = names.jobsQueue(pool);
  return {
    reserved: names.reserved,
    promised: names.promised,
    wait: names.bull(queue, "wait"),
    prioritized: names.bull(queue, "prioritized"),
    delayed: names.bull(queue, "delayed"),
    limits: names.limits,
    open: names.open(tenant),
    seats: names.seats(tenant),
    usage: names.usage(tenant),
    pace: names.pace(pool),
  };
}

function chunked(rows: readonly RowValues[]): readonly (readonly RowValues[])[] {
  const count = Math.ceil(rows.length / ROWS_PER_CHUNK);
  return Array.from({ length: count }, (_, at) => rows.slice(at * ROWS_PER_CHUNK, (at + 1) * ROWS_PER_CHUNK));
}

/** Ids of all assets that any row names, each once. */
function assetsOf({ request, rows }: BatchSubmission): readonly string[] {
  const sources: Pick<NewJob, "inputs" | "files">[] = [
    request,
    ...rows.map(({ inputs = noInputs }) => ({ inputs, files: {} })),
  ];
  return [...new Set(sources.flatMap((source) => assetIdsOf(source)))];
}

const noInputs: Readonly<Record<string, InputSource>> = {};

export function keyReused(): QueueError {
  return new QueueError("key_reuse", "This Idempotency-Key was used with another body; use a new key for a new batch");
}
