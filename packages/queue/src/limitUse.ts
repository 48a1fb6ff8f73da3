import type { LimitsView } from "@comfyq/contract";
import type { Limits } from "./limits.ts";
import { namedScript, runNamed } from "./luaScript.ts";
import { redisNowMs } from "./redisClock.ts";
import type { QueueRoom } from "./room.ts";

/** Looks at some of what counts as open, and takes out what has ended: whoever ended it was killed before it said so. */
const RECONCILE = namedScript(
  { keys: ["open"], values: ["cursor", "count", "recordPrefix", "queuePrefix"] },
  `
local page = redis.call("SSCAN", openKey, cursor, "COUNT", count)
for _, id in ipairs(page[2]) do
  local pool = redis.call("HGET", recordPrefix .. id, "pool")
  local bullKey = pool and queuePrefix .. pool .. ":" .. id
  if not pool or redis.call("EXISTS", bullKey) == 0 or redis.call("HEXISTS", bullKey, "finishedOn") == 1 then
    redis.call("SREM", openKey, id)
  end
end
return page[1]
`,
);

/** Sets right what counts as open, for every tenant. */
export async function reconcileOpen(room: QueueRoom): Promise<void> {
  const { redis, names, settings } = room;
  const values = {
    count: settings.sweepBatch,
    recordPrefix: names.record(""),
    queuePrefix: names.bull(names.jobsQueue(""), "").slice(0, -1),
  };
  for (const tenant of await redis.smembers(names.tenants)) {
    let cursor = "0";
    do {
      const keys = { open: names.open(tenant) };
      cursor = String(await runNamed(redis, RECONCILE, { keys, values: { ...values, cursor } }));
    } while (cursor !== "0");
  }
}

const DAY_MS = 24 * 3_600_000;

/** What a tenant may use, and uses. */
export async function showLimits(room: QueueRoom, limits: Limits, tenant: string): Promise<LimitsView> {
  const { redis, names } = room;
  const nowMs = await redisNowMs(redis);
  const day = Math.floor(nowMs / DAY_MS);
  const [open, running, gpuMs] = await Promise.all([
    redis.scard(names.open(tenant)),
    countRunning(room, tenant),
    redis.hget(names.usage(tenant), `gpu_ms:${day}`),
  ]);
  const { queued = null, running: seats = null, requests_per_s = null, gpu_seconds_per_day = null } = limits.of(tenant);
  return {
    tenant,
    queued: { limit: queued, used: Math.max(0, open - running) },
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
  const isTheirs = ids.length === 0 ? [] : await redis.smismember(names.open(tenant), ...ids);
  return isTheirs.filter((is) => is === 1).length;
}
