import { type Pace, readSpans } from "./guessEnd.ts";
import type { QueueRoom } from "./room.ts";

const COUNT_WORKERS = `
local t = redis.call("TIME")
local since = t[1] * 1000 + math.floor(t[2] / 1000) - ARGV[1]
return redis.call("ZCOUNT", KEYS[1], string.format("%.0f", since), "+inf")
`;

/** How fast a pool works at this moment. @param shape of `shapeOf`; undefined: only the mean of all */
export async function paceOf(room: QueueRoom, pool: string, shape: string | undefined): Promise<Pace> {
  const { redis, names, settings } = room;
  const [[own, mean], workers, active] = await Promise.all([
    redis.hmget(names.spans(pool), shape ?? "", "*"),
    redis.eval(COUNT_WORKERS, 1, names.poolWorkers(pool), Math.round(settings.beatTtlMs)),
    redis.llen(names.bull(names.jobsQueue(pool), "active")),
  ]);
  return { own: readSpans(own), mean: readSpans(mean), workers: Number(workers), active };
}
