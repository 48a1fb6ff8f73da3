import type { CacheMode } from "@comfyq/contract";
import type { QueueRoom } from "./room.ts";

/** Which of the results that are cached or being made it is about, and whose. */
export interface Wanted {
  readonly tenant: string;
  /** Of `cacheKeyOf`. */
  readonly key: string;
  readonly jobId: string;
}

/** Where a job that is about to render stands among the jobs that are identical to it. */
export type Berth =
  /** The result is there. */
  | { readonly kind: "hit" }
  /** It renders for all of them. */
  | { readonly kind: "lead" }
  /** Another one renders for all of them, and this one beside it. */
  | { readonly kind: "alone" }
  /** Another one renders, and this one waits for its result; `rank` others came before it. */
  | { readonly kind: "follow"; readonly rank: number };

/** `reclaim`: its own prompt may be running already, and so it is not to wait for anybody. */
export type BoardingMode = Exclude<CacheMode, "off"> | "reclaim";

const NOW = `
local t = redis.call("TIME")
local now = t[1] * 1000 + math.floor(t[2] / 1000)
`;

/**
 * In one step, so that of many identical jobs exactly one leads. A leader whose lock is gone keeps its place for a while: its
 * worker died, and the job itself is the next to be claimed.
 */
const BOARD = `${NOW}
if ARGV[2] == "use" and redis.call("EXISTS", KEYS[1]) == 1 then
  redis.call("ZADD", KEYS[2], "XX", string.format("%.0f", now), ARGV[3])
  return {"hit"}
end
local leader = redis.call("HMGET", KEYS[3], "leader", "lock", "missing_since")
local isLed = false
if leader[1] and leader[1] ~= ARGV[1] then
  if redis.call("EXISTS", leader[2]) == 1 then
    redis.call("HDEL", KEYS[3], "missing_since")
    isLed = true
  elseif not leader[3] then
    redis.call("HSET", KEYS[3], "missing_since", string.format("%.0f", now))
    isLed = true
  else
    isLed = now - leader[3] < tonumber(ARGV[5])
  end
end
if isLed and ARGV[2] ~= "use" then return {"alone"} end
if isLed then
  redis.call("ZADD", KEYS[4], "NX", string.format("%.0f", now), ARGV[1])
  redis.call("PEXPIRE", KEYS[4], ARGV[6])
  return {"follow", redis.call("ZRANK", KEYS[4], ARGV[1])}
end
redis.call("HSET", KEYS[3], "leader", ARGV[1], "lock", ARGV[4])
redis.call("HDEL", KEYS[3], "missing_since")
redis.call("PEXPIRE", KEYS[3], ARGV[6])
redis.call("ZREM", KEYS[4], ARGV[1])
return {"lead"}
`;

/** A job that was just queued: is its result there? Else it is among those who are told when it is. */
const JOIN = `${NOW}
if redis.call("EXISTS", KEYS[1]) == 1 then
  redis.call("ZADD", KEYS[2], "XX", string.format("%.0f", now), ARGV[2])
  return 1
end
redis.call("ZADD", KEYS[3], "NX", string.format("%.0f", now), ARGV[1])
redis.call("PEXPIRE", KEYS[3], ARGV[3])
return 0
`;

/** The leader ended without a result. */
const LEAVE = `
if redis.call("HGET", KEYS[1], "leader") ~= ARGV[1] then return {} end
redis.call("DEL", KEYS[1])
return redis.call("ZRANGE", KEYS[2], 0, ARGV[2])
`;

/** Takes a job that was put aside to the front of its queue. */
const WAKE = `
if redis.call("ZREM", KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call("RPUSH", KEYS[2], ARGV[1])
redis.call("ZADD", KEYS[3], 0, "0")
return 1
`;

/** Of those who wait, so many are looked at to find one that can be woken; all others wake by themselves. */
const LOOK_AT = 100;

/** How an entry is named in the list by last use. */
export function usedName({ tenant, key }: Pick<Wanted, "tenant" | "key">): string {
  return `${tenant}:${key}`;
}

/** Takes a place for a job whose lock the caller holds. Safe to repeat. */
export async function board(room: QueueRoom, wanted: Wanted & { pool: string }, mode: BoardingMode): Promise<Berth> {
  const { redis, names, settings } = room;
  const { tenant, key, jobId, pool } = wanted;
  const keys = [names.cached(tenant, key), names.cachedByUse, names.flight(tenant, key), names.followers(tenant, key)];
  const lock = names.bull(names.jobsQueue(pool), `${jobId}:lock`);
  const values = [jobId, mode, usedName(wanted), lock, Math.round(settings.flightGraceMs), settings.flightTtlMs];
  const answer = await redis.eval(BOARD, keys.length, ...keys, ...values);
  const [kind, rank]: readonly unknown[] = Array.isArray(answer) ? answer : [];
  if (kind === "hit" || kind === "alone" || kind === "follow")
    return kind === "follow" ? { kind, rank: Number(rank) } : { kind };
  return { kind: "lead" };
}

/** @returns true when the result is there already; else the job is told when it is */
export async function join(room: QueueRoom, { tenant, key, jobId }: Wanted): Promise<boolean> {
  const { redis, names, settings } = room;
  const keys = [names.cached(tenant, key), names.cachedByUse, names.followers(tenant, key)];
  const values = [jobId, usedName({ tenant, key }), settings.flightTtlMs];
  return (await redis.eval(JOIN, keys.length, ...keys, ...values)) === 1;
}

/**
 * The leader has ended without a result: the first of those who wait renders next, and leads. All others go on waiting, for
 * it. Does nothing when another leads by now.
 */
export async function leaveFlight(room: QueueRoom, { tenant, key, jobId }: Wanted): Promise<void> {
  const { redis, names } = room;
  const keys = [names.flight(tenant, key), names.followers(tenant, key)];
  const found = await redis.eval(LEAVE, keys.length, ...keys, jobId, LOOK_AT - 1);
  for (const follower of Array.isArray(found) ? found.map(String) : []) if (await wake(room, follower)) return;
}

/** Takes a job that was put aside to the front of its queue. @returns false when it is not aside */
export async function wake(room: QueueRoom, jobId: string): Promise<boolean> {
  const { redis, names } = room;
  const pool = await redis.hget(names.record(jobId), "pool");
  if (pool === null) return false;
  const queue = names.jobsQueue(pool);
  const keys = ["delayed", "wait", "marker"].map((key) => names.bull(queue, key));
  return (await redis.eval(WAKE, keys.length, ...keys, jobId)) === 1;
}
