import { RELEASE_RECORD } from "./assetUses.ts";
import { readBatchRecord } from "./batchRecord.ts";
import { redisNowMs } from "./redisClock.ts";
import type { QueueRoom } from "./room.ts";

/** Forgets batches that ended longer ago than the retention; their jobs, which ended before them, are swept as all jobs are. */
export async function sweepBatches(room: QueueRoom): Promise<number> {
  const { redis, names, settings } = room;
  // A row that its job's sweeper has not reached yet still finds its graph here.
  const dueMs = (await redisNowMs(redis)) - settings.retentionRecheckMs;
  const due = await redis.zrange(
    names.batchRetention,
    "-inf",
    String(dueMs),
    "BYSCORE",
    "LIMIT",
    0,
    settings.sweepBatch,
  );
  for (const id of due) {
    const record = await readBatchRecord(room, undefined, id);
    const pipeline = redis
      .pipeline()
      .del(names.batchRows(id), names.batchStates(id), names.batchTries(id), names.batchJobs(id))
      .eval(RELEASE_RECORD, 3, names.batch(id), names.assets, names.assetJobs)
      .zrem(names.batchCare, id)
      .zrem(names.batchRetention, id);
    if (record) pipeline.zrem(names.batchIndex(record.tenant), id);
    await pipeline.exec();
  }
  return due.length;
}
