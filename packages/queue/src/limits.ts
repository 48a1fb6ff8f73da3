import { type LimitsFile, limitsOf, TenantLimits } from "@comfyq/contract";
import { sleep } from "./clock.ts";
import { namedScript, runNamed } from "./luaScript.ts";
import type { QueueRoom } from "./room.ts";

/** The limits as this process knows them. */
export interface Limits {
  of(tenant: string): TenantLimits;
  /** Looks now. */
  refresh(): Promise<void>;
}

const DEFAULT_FIELD = "*";
const VERSION_FIELD = "version";

function tenantField(tenant: string): string {
  return `t:${tenant}`;
}

/** How a script that was given `limitsKey` and `tenant` finds a limit; nil when there is none. They are read when one is asked for. */
export const READ_LIMITS = `
local limits
local function limitOf(name)
  if limits == nil then
    local texts = redis.call("HMGET", limitsKey, "t:" .. tenant, "*")
    local text = texts[1] or texts[2]
    limits = text and cjson.decode(text) or false
  end
  local most = limits and limits[name]
  if most == cjson.null then return nil end
  return most
end
`;

/**
 * How a script that queues jobs finds out whether their tenant may: `refusalOf(jobs)` is what it answers, or nil. Also
 * `perSecond(key)`: how many jobs end there in a second, counted with less and less weight (NOTE_END), over as much time as
 * there was; "" when nothing is known. Needs `limitsKey`, `openKey`, `seatsKey`, `promisedKey`, `usageKey`, `tenant` and `paceMs`.
 */
export const CHECK_LIMITS = `${READ_LIMITS}
local now
do
  local t = redis.call("TIME")
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local function perSecond(key)
  local known = redis.call("HMGET", key, "ends", "at", "since")
  if not known[1] then return "" end
  local overMs = paceMs * (1 - math.exp(-math.max(now - known[3], 1000) / paceMs))
  return tostring(known[1] * math.exp((known[2] - now) / paceMs) / overMs * 1000)
end
local function refusalOf(jobs)
  local most = limitOf("queued")
  if most then
    local promised = tonumber(redis.call("HGET", promisedKey, tenant) or 0)
    local used = redis.call("ZCARD", openKey) - redis.call("HLEN", seatsKey) + promised
    if used + jobs > most then return {"limited", "queued", tostring(most), used, perSecond(usageKey)} end
  end
  most = limitOf("gpu_seconds_per_day")
  if most then
    local day = math.floor(now / 86400000)
    local used = tonumber(redis.call("HGET", usageKey, "gpu_ms:" .. day) or 0) / 1000
    if used >= most then
      return {"limited", "gpu_seconds_per_day", tostring(most), tostring(used), (day + 1) * 86400 - math.floor(now / 1000)}
    end
  end
end
`;

/** Makes these the limits of the whole system, at once. */
export async function publishLimits({ redis, names }: QueueRoom, file: LimitsFile): Promise<void> {
  const fields: [string, string][] = Object.keys(file.tenants).map((tenant) => [
    tenantField(tenant),
    JSON.stringify(limitsOf(file, tenant)),
  ]);
  fields.push([DEFAULT_FIELD, JSON.stringify(file.default)], [VERSION_FIELD, String(Math.random())]);
  await redis.multi().del(names.limits).hset(names.limits, new Map(fields)).exec();
}

/**
 * Follows the limits until `closing`; a change is known within `limitsEveryMs`. While Redis is away, the last that were read
 * hold.
 */
export async function followLimits(room: QueueRoom, closing: AbortSignal): Promise<Limits> {
  const { redis, names, settings } = room;
  let known: ReadonlyMap<string, TenantLimits> = new Map();
  let version: string | null = null;
  const look = async () => {
    const now = await redis.hget(names.limits, VERSION_FIELD);
    if (now === version) return;
    const fields = Object.entries(await redis.hgetall(names.limits)).filter(([field]) => field !== VERSION_FIELD);
    known = new Map(fields.map(([field, text]) => [field, TenantLimits.parse(JSON.parse(text))]));
    version = now;
  };
  await look();
  void (async () => {
    while (!closing.aborted) {
      await sleep(settings.limitsEveryMs, closing);
      if (!closing.aborted) await look().catch(() => {}); // the next look tells
    }
  })();
  return {
    of: (tenant) => known.get(tenantField(tenant)) ?? known.get(DEFAULT_FIELD) ?? {},
    refresh: look,
  };
}

/** A bucket that fills at the limit's pace and holds a second's worth, at least one. On Redis's clock, for all processes. */
const TAKE_TOKEN = namedScript(
  { keys: ["tokens"], values: ["perSecond"] },
  `
local t = redis.call("TIME")
local now = t[1] + t[2] / 1000000
local most = math.max(1, perSecond)
local known = redis.call("HMGET", tokensKey, "left", "at")
local left = most
if known[1] then left = math.min(most, known[1] + math.max(0, now - known[2]) * perSecond) end
local wait = 0
if left >= 1 then left = left - 1 else wait = (1 - left) / perSecond end
redis.call("HSET", tokensKey, "left", string.format("%.6f", left), "at", string.format("%.6f", now))
redis.call("EXPIRE", tokensKey, math.ceil(most / perSecond) + 1)
return tostring(wait)
`,
);

/** @returns seconds after which one call may be made; 0: it may be made now, and is counted */
export async function takeToken(room: QueueRoom, tenant: string, perSecond: number): Promise<number> {
  const keys = { tokens: room.names.tokens(tenant) };
  return Number(await runNamed(room.redis, TAKE_TOKEN, { keys, values: { perSecond } }));
}
