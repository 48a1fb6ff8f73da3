import type { BatchFacts } from "@comfyq/contract";
import { type BatchRecord, childId, readBatchRecord, toBatchFacts } from "./batchRecord.ts";
import { END_ROW, ROW_LETTERS } from "./batchScripts.ts";
import { runNamed } from "./luaScript.ts";
import { readEnd } from "./readJob.ts";
import type { QueueRoom } from "./room.ts";
import type { Settled } from "./settled.ts";
import type { Audience } from "./tell.ts";

/** A batch that has ended, and who is to hear of it. */
export interface EndedBatch {
  readonly facts: BatchFacts;
  readonly audience: Audience;
}

/**
 * Notes in a job's batch that it has ended. Safe to repeat.
 * @returns the batch, if it has ended: the caller tells, as often as it is returned, under one id for each round
 * @throws Error when the job has not ended: the settlement came too early, and is tried again
 */
export async function noteRowEnd(room: QueueRoom, { jobId, record }: Settled): Promise<EndedBatch | undefined> {
  const origin = record?.head.batch;
  if (!record || !origin) return undefined;
  const { id, row } = origin;
  const { redis, names, retentionMs } = room;
  const [status, tries] = await Promise.all([
    readEnd(room, jobId, record),
    redis.hget(names.batchTries(id), String(row)),
  ]);
  if (status === undefined) throw new Error(`job ${jobId} is settled but has not ended; it is looked at again`);
  const retries = Number(tries ?? 0);
  if (childId(id, row, retries) !== jobId) return undefined;
  // A BullJob that an operator took away has no end of its own.
  const letter = ROW_LETTERS[status === "gone" ? "canceled" : status];
  const became = await runNamed(redis, END_ROW, {
    keys: {
      batch: names.batch(id),
      states: names.batchStates(id),
      tries: names.batchTries(id),
      retention: names.batchRetention,
    },
    values: { id, row, try: retries, letter, retentionMs },
  });
  return became === "completed" ? endedBatch(room, id) : undefined;
}

/** @returns undefined when it is open, or gone */
export async function endedBatch(room: QueueRoom, id: string): Promise<EndedBatch | undefined> {
  const record: BatchRecord | undefined = await readBatchRecord(room, undefined, id);
  if (record?.completedAtMs === undefined) return undefined;
  const { tenant, head } = record;
  return {
    facts: await toBatchFacts(room, record),
    audience: { tenant, webhook: head.webhook && { ...head.webhook, sealedHeaders: head.webhookHeaders } },
  };
}
