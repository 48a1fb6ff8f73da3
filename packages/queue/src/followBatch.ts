import { type BatchFacts, isTerminal } from "@comfyq/contract";
import { type BatchRecord, childId, readBatchRecord, readRows, toBatchFacts } from "./batchRecord.ts";
import { END_ROW, ROW_LETTERS } from "./batchScripts.ts";
import { runNamed } from "./luaScript.ts";
import { readJob } from "./readJob.ts";
import { readRecord } from "./record.ts";
import type { QueueRoom } from "./room.ts";
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
export async function noteRowEnd(room: QueueRoom, jobId: string): Promise<EndedBatch | undefined> {
  const child = await readRecord(room.redis, room.names, jobId);
  const origin = child?.head.batch;
  if (!child || !origin) return undefined;
  const job = await readJob(room, child.tenant, jobId);
  if (job && !isTerminal(job.status))
    throw new Error(`job ${jobId} is settled but ${job.status}; it is looked at again`);
  // A BullJob that an operator took away has no end of its own.
  const letter = job && isTerminal(job.status) ? ROW_LETTERS[job.status] : ROW_LETTERS.canceled;
  const { id, row } = origin;
  const retries = (await readRows(room, id, [row])).get(row)?.retries;
  if (retries === undefined || childId(id, row, retries) !== jobId) return undefined;
  const { redis, names, retentionMs } = room;
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
