import type { Redis } from "ioredis";

/** Redis's clock, Unix ms: the one clock that all hosts share. Deadlines of waiting jobs are counted on it. */
export async function redisNowMs(redis: Redis): Promise<number> {
  const [seconds, micros] = (await redis.time()).map(Number);
  return (seconds ?? 0) * 1_000 + Math.floor((micros ?? 0) / 1_000);
}
