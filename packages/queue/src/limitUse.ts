import type { LimitsView } from "@comfyq/contract";
import type { Limits } from "./limits.ts";
import { redisNowMs } from "./redisClock.ts";
import type { QueueRoom } from "./room.ts";

const DAY_MS = 24 * 3_600_000;

/** What a tenant may use, and uses. */
export async function showLimits(room: QueueRoom, limits: Limits, tenant: string): Promise<LimitsView> {
  const { redis, names } = room;
  const nowMs = await redisNowMs(redis);
  const day = Math.floor(nowMs / DAY_MS);
  const [open, promised, running, gpuMs] = await Promise.all([
    redis.zcard(names.open(tenant)),
    redis.hget(names.promised, tenant),
    countRunning(room, tenant),
    redis.hget(names.usage(tenant), `gpu_ms:${day}`),
  ]);
  const { queued = null, running: seats = null, requests_per_s = null, gpu_seconds_per_day = null } = limits.of(tenant);
  return {
    tenant,
    queued: { limit: queued, used: Math.max(0, open - running + Number(promised ?? 0)) },
    running: { limit: seats, used: running },
    requests_per_s: { limit: requests_per_s },
    gpu_seconds_per_day: {
      limit: gpu_seconds_per_day,
      used: Number(gpuMs ?? 0) / 1_000,
      resets_in_s: Math.ceil(((day + 1) * DAY_MS - nowMs) / 1_000),
    },
  };
}

/** Of what the workers hold. Their number bounds it, not the tenant's jobs. */
async function countRunning({ redis, names }: QueueRoom, tenant: string): Promise<number> {
  const pools = await redis.smembers(names.pools);
  const held = await Promise.all(pools.map((pool) => redis.lrange(names.bull(names.jobsQueue(pool), "active"), 0, -1)));
  const ids = held.flat();
  const places = ids.length === 0 ? [] : await redis.zmscore(names.open(tenant), ...ids);
  return places.filter((place) => place !== null).length;
}
