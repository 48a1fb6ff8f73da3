import { nowMs } from "./clock.ts";
import { HEAD_FIELDS, parseHead } from "./deliveryHead.ts";
import type { QueueRoom } from "./room.ts";

/** One errand forgets no more than so many batches, so that it ends. */
const BATCHES = 300;

/**
 * Forgets deliveries that ended longer ago than they are kept, failed ones later than others, and the oldest that have ended when
 * there are too many. What is still to be tried stays.
 * @returns how many were forgotten
 */
export async function sweepDeliveries(room: QueueRoom): Promise<number> {
  let forgotten = 0;
  for (let batch = 0; batch < BATCHES; batch += 1) {
    const due = await dueOnes(room);
    const swept = await Promise.all(due.ids.map((id) => sweepOne(room, id, due.isCrowded)));
    forgotten += swept.filter(Boolean).length;
    if (due.ids.length < room.settings.sweepBatch) break;
  }
  return forgotten;
}

async function dueOnes({ redis, names, settings }: QueueRoom): Promise<{ ids: string[]; isCrowded: boolean }> {
  const excess = (await redis.zcard(names.deliveryRetention)) - settings.deliveriesKept;
  if (excess > 0) {
    const count = Math.min(excess, settings.sweepBatch);
    return { ids: await redis.zrange(names.deliveryRetention, 0, String(count - 1)), isCrowded: true };
  }
  const limits = ["-inf", String(nowMs()), "BYSCORE", "LIMIT", 0, settings.sweepBatch] as const;
  return { ids: await redis.zrange(names.deliveryRetention, ...limits), isCrowded: false };
}

async function sweepOne(room: QueueRoom, id: string, isCrowded: boolean): Promise<boolean> {
  const { redis, names, settings, retentionMs } = room;
  const bull = (key: string) => names.bull(names.deliveriesQueue, key);
  const [finishedOn, exists, failedAt] = await Promise.all([
    redis.hget(bull(id), "finishedOn"),
    redis.exists(bull(id)),
    redis.zscore(bull("failed"), id),
  ]);
  if (exists === 1 && finishedOn === null) {
    await redis.zadd(names.deliveryRetention, nowMs() + settings.retentionRecheckMs, id);
    return false;
  }
  const keptUntilMs = failedAt === null ? 0 : Number(finishedOn) + settings.failedKeptTimes * retentionMs;
  if (!isCrowded && keptUntilMs > nowMs()) {
    await redis.zadd(names.deliveryRetention, keptUntilMs, id);
    return false;
  }
  await forget(room, id);
  return true;
}

async function forget(room: QueueRoom, id: string): Promise<void> {
  const { redis, names } = room;
  const head = parseHead(await redis.hmget(names.delivery(id), ...HEAD_FIELDS));
  await room.deliveries.remove(id);
  const pipeline = redis.pipeline().del(names.delivery(id)).zrem(names.deliveryRetention, id);
  if (head) {
    pipeline.zrem(names.deliveryIndex(head.tenant), id).zrem(names.deliveryIndex(head.tenant, "failed"), id);
    if (head.job) pipeline.zrem(names.deliveryIndex(head.tenant, `job:${head.job}`), id);
    if (head.endpoint) pipeline.zrem(names.deliveryIndex(head.tenant, `endpoint:${head.endpoint}`), id);
  }
  await pipeline.exec();
}
