import { orUnavailable } from "./errors.ts";
import type { QueueRoom } from "./room.ts";

/**
 * Which uploaded assets are used, and since when not. The bytes stand in the store, which cannot count; a script can, and so
 * nobody can take an asset away between the look whether a job names it and the taking.
 *
 * `assets`: by the moment of their last use, and nothing that is not in there may be named by a job. `asset-jobs`: by how many
 * jobs each is named. `asset-removals`: those that are being removed from the store, and since when.
 */

/** Notes a use, of those that are not being removed. Gives back the moment, and those that are. */
const TOUCH = `
local t = redis.call("TIME")
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local going = { string.format("%.0f", now) }
for _, asset in ipairs(ARGV) do
  if redis.call("ZSCORE", KEYS[2], asset) then going[#going + 1] = asset
  else redis.call("ZADD", KEYS[1], now, asset) end
end
return going
`;

/** Takes back a use that was noted at that moment, unless somebody else has noted one since. */
const UNTOUCH = `
for i = 2, #ARGV do
  local score = redis.call("ZSCORE", KEYS[1], ARGV[i])
  if score and tonumber(score) == tonumber(ARGV[1]) then redis.call("ZREM", KEYS[1], ARGV[i]) end
end
return 1
`;

/** Begins to remove one asset, unless a job names it. */
const CONDEMN = `
if tonumber(redis.call("HGET", KEYS[3], ARGV[1]) or "0") > 0 then return "in_use" end
local t = redis.call("TIME")
redis.call("ZREM", KEYS[1], ARGV[1])
redis.call("ZADD", KEYS[2], t[1] * 1000 + math.floor(t[2] / 1000), ARGV[1])
return "condemned"
`;

/**
 * Begins to remove what no job names and nobody has used for so long, and what somebody began to remove and did not finish.
 * What a job names was used just now.
 */
const CONDEMN_UNUSED = `
local t = redis.call("TIME")
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local going = redis.call("ZRANGEBYSCORE", KEYS[2], "-inf", now - ARGV[2], "LIMIT", 0, ARGV[3])
for _, asset in ipairs(redis.call("ZRANGEBYSCORE", KEYS[1], "-inf", now - ARGV[1], "LIMIT", 0, ARGV[3])) do
  if tonumber(redis.call("HGET", KEYS[3], asset) or "0") > 0 then
    redis.call("ZADD", KEYS[1], now, asset)
  else
    redis.call("ZREM", KEYS[1], asset)
    going[#going + 1] = asset
  end
end
for _, asset in ipairs(going) do redis.call("ZADD", KEYS[2], now, asset) end
return going
`;

/** Forgets a job's record and its hold on assets, once. Kept from here on as if it had been used just now. */
export const RELEASE_RECORD = `
local held = redis.call("HGET", KEYS[1], "assets")
redis.call("DEL", KEYS[1])
if not held then return 0 end
local t = redis.call("TIME")
for asset in string.gmatch(held, "%S+") do
  if redis.call("HINCRBY", KEYS[3], asset, -1) <= 0 then redis.call("HDEL", KEYS[3], asset) end
  redis.call("ZADD", KEYS[2], t[1] * 1000 + math.floor(t[2] / 1000), asset)
end
return 1
`;

/** An asset, among those of all tenants. No tenant has a slash in its name. */
export function assetMember(tenant: string, assetId: string): string {
  return `${tenant}/${assetId}`;
}

function keysOf({ names }: QueueRoom): readonly [string, string, string] {
  return [names.assets, names.assetRemovals, names.assetJobs];
}

/** What came of noting a use. */
export interface Touch {
  /** On Redis's clock. */
  readonly atMs: number;
  /** Ids of those that are just being removed: they must not be relied on. */
  readonly going: readonly string[];
}

/** Notes that these assets are wanted: they are kept for as long as the retention says from now on. */
export async function touchAssets(room: QueueRoom, tenant: string, ids: readonly string[]): Promise<Touch> {
  const members = ids.map((id) => assetMember(tenant, id));
  const [assets, removals] = keysOf(room);
  const answer = await orUnavailable("assets were noted", room.redis.eval(TOUCH, 2, assets, removals, ...members));
  const [atMs, ...going] = answer as readonly string[]; // what TOUCH returns
  return { atMs: Number(atMs), going: going.map((member) => member.slice(tenant.length + 1)) };
}

/** There are no such assets after all: nothing stays noted of them. */
export async function untouchAssets(
  room: QueueRoom,
  tenant: string,
  ids: readonly string[],
  atMs: number,
): Promise<void> {
  const members = ids.map((id) => assetMember(tenant, id));
  await orUnavailable("assets were noted", room.redis.eval(UNTOUCH, 1, room.names.assets, atMs, ...members));
}

/** Begins to remove an asset; when its objects are gone, say `assetRemoved`. */
export async function condemnAsset(room: QueueRoom, tenant: string, id: string): Promise<"in_use" | "condemned"> {
  const member = assetMember(tenant, id);
  const verdict = await orUnavailable("an asset was removed", room.redis.eval(CONDEMN, 3, ...keysOf(room), member));
  return verdict === "in_use" ? "in_use" : "condemned";
}

/** Its objects are gone: the same bytes may be uploaded again. */
export async function assetRemoved(room: QueueRoom, tenant: string, id: string): Promise<void> {
  await orUnavailable("an asset was removed", room.redis.zrem(room.names.assetRemovals, assetMember(tenant, id)));
}

/** Removes the stored objects of one asset; must bear being called twice. */
export type RemoveAsset = (tenant: string, assetId: string) => Promise<void>;

/** A removal that has not ended for so long was cut off. */
const REMOVAL_MS = 600_000;

/**
 * Removes assets that no job names and nobody has used or uploaded for as long as the retention says.
 * @returns how many; call again when it is a full batch
 */
export async function sweepAssets(room: QueueRoom, retentionMs: number, removeAsset: RemoveAsset): Promise<number> {
  const limits = [retentionMs, REMOVAL_MS, room.settings.sweepBatch];
  const going = (await room.redis.eval(CONDEMN_UNUSED, 3, ...keysOf(room), ...limits)) as readonly string[]; // see there
  for (const member of going) {
    const [tenant = "", id = ""] = member.split("/");
    await removeAsset(tenant, id);
    await assetRemoved(room, tenant, id);
  }
  return going.length;
}

/** Takes assets into account that the store has and Redis does not know: those of before, or of a Redis that was lost. */
export async function adoptAssets(
  room: QueueRoom,
  found: readonly { readonly tenant: string; readonly id: string }[],
): Promise<void> {
  if (found.length === 0) return;
  const atMs = Number((await room.redis.time())[0]) * 1_000;
  const entries = found.flatMap(({ tenant, id }) => [atMs, assetMember(tenant, id)]);
  await room.redis.zadd(room.names.assets, "NX", ...entries);
}
