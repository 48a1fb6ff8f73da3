import { CacheEntry } from "@comfyq/contract";
import { usedName, type Wanted } from "./flights.ts";
import type { QueueRoom } from "./room.ts";

/** How much is kept, and how long. */
export interface CacheLimits {
  readonly ttlMs: number;
  readonly maxEntries: number;
  /** Of all files of one result. */
  readonly maxBytes: number;
}

/**
 * Keeps a result, ends the flight if the job leads it, and takes the list of those who wait: in one step, so that a job that
 * comes now either finds the result or is on that list. The least recently used results make room.
 */
const PUBLISH = `
local t = redis.call("TIME")
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if redis.call("HGET", KEYS[3], "leader") == ARGV[1] then redis.call("DEL", KEYS[3]) end
redis.call("ZREM", KEYS[4], ARGV[1])
local followers = redis.call("ZRANGE", KEYS[4], 0, -1)
redis.call("DEL", KEYS[4])
local ttl = tonumber(ARGV[4])
if ARGV[5] ~= "" then
  if #followers == 0 then return {} end
  ttl = tonumber(ARGV[5])
end
redis.call("SET", KEYS[1], ARGV[2], "PX", ttl)
redis.call("ZREMRANGEBYSCORE", KEYS[2], "-inf", string.format("%.0f", now - ARGV[4]))
redis.call("ZADD", KEYS[2], string.format("%.0f", now), ARGV[3])
local over = redis.call("ZCARD", KEYS[2]) - tonumber(ARGV[6])
if over > 0 then
  local unused = redis.call("ZPOPMIN", KEYS[2], over)
  for i = 1, #unused, 2 do redis.call("DEL", ARGV[7] .. unused[i]) end
end
return followers
`;

/** Forgets a result that turned out to be gone, unless a newer one has taken its place. */
const DROP = `
if redis.call("GET", KEYS[1]) ~= ARGV[1] then return 0 end
redis.call("DEL", KEYS[1])
redis.call("ZREM", KEYS[2], ARGV[2])
return 1
`;

/** @returns ids of the jobs that waited for this result: each is to be answered with it */
export async function publishEntry(
  room: QueueRoom,
  { tenant, key, jobId }: Wanted,
  { entry, limits }: { readonly entry: CacheEntry; readonly limits: CacheLimits },
): Promise<readonly string[]> {
  const { redis, names, settings } = room;
  const keys = [names.cached(tenant, key), names.cachedByUse, names.flight(tenant, key), names.followers(tenant, key)];
  // The files go with their job: nobody is to find an entry without them.
  const ttlMs = Math.max(1, Math.round(Math.min(limits.ttlMs, room.retentionMs)));
  const shortTtlMs = entry.size_bytes > limits.maxBytes ? Math.min(ttlMs, settings.tooLargeTtlMs) : "";
  const base = names.cached("", "").slice(0, -1); // `<prefix>:cached:`, to which `<tenant>:<key>` is added
  const text = JSON.stringify(CacheEntry.parse(entry)); // in the order of its schema: dropEntry compares
  const values = [jobId, text, usedName({ tenant, key }), ttlMs, shortTtlMs, limits.maxEntries, base];
  const followers = await redis.eval(PUBLISH, keys.length, ...keys, ...values);
  return Array.isArray(followers) ? followers.map(String) : [];
}

/** The result that is kept, if any. One of another version cannot be used. */
export async function readEntry(
  { redis, names }: QueueRoom,
  { tenant, key }: Pick<Wanted, "tenant" | "key">,
): Promise<CacheEntry | undefined> {
  const text = await redis.get(names.cached(tenant, key));
  return text === null ? undefined : CacheEntry.safeParse(JSON.parse(text)).data;
}

/** Forgets a result whose files are gone. */
export async function dropEntry(
  { redis, names }: QueueRoom,
  { tenant, key }: Pick<Wanted, "tenant" | "key">,
  entry: CacheEntry,
): Promise<void> {
  const keys = [names.cached(tenant, key), names.cachedByUse];
  await redis.eval(DROP, keys.length, ...keys, JSON.stringify(entry), usedName({ tenant, key }));
}
