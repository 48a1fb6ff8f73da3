import type { Job as BullJob } from "bullmq";
import { nowMs } from "./clock.ts";
import { redisNowMs } from "./redisClock.ts";
import type { QueueRoom } from "./room.ts";

/**
 * BullMQ (6.7.0) counts a delay on the clock of whoever asks for it. Where that is an hour ahead, and its machine dies, nobody
 * else would take the job for an hour: so its place is written again, on Redis's clock, as addDelayMarkerIfNeeded.lua would.
 */
const WRITE_PLACE = `
if not redis.call("ZSCORE", KEYS[1], ARGV[1]) then return 0 end
redis.call("ZADD", KEYS[1], "XX", ARGV[2] * 0x1000, ARGV[1])
local first = redis.call("ZRANGE", KEYS[1], 0, 0, "WITHSCORES")
redis.call("ZADD", KEYS[2], math.floor(first[2] / 0x1000), "1")
return 1
`;

/** Clocks differ by this much everywhere, and nothing comes of it. */
const HARMLESS_MS = 1_000;

interface Held {
  readonly bullJob: BullJob;
  readonly pool: string;
  readonly token: string;
}

/** Lets a held job go, to be claimed again after a while. @throws what BullMQ throws when the lock is not ours */
export async function putOff(room: QueueRoom, { bullJob, pool, token }: Held, waitMs: number): Promise<void> {
  const redisMs = await redisNowMs(room.redis);
  const ownMs = nowMs();
  await bullJob.moveToDelayed(ownMs + waitMs, token);
  if (Math.abs(redisMs - ownMs) < HARMLESS_MS) return;
  const queue = room.names.jobsQueue(pool);
  const keys = [room.names.bull(queue, "delayed"), room.names.bull(queue, "marker")];
  const place = room.redis.eval(WRITE_PLACE, keys.length, ...keys, String(bullJob.id), redisMs + waitMs);
  await place.catch(() => {}); // it is put off all the same, only by another clock
}
