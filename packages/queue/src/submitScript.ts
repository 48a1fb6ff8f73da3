import { assetMember } from "./assetUses.ts";
import { luaScript, runScript } from "./luaScript.ts";
import type { QueueRoom } from "./room.ts";

/**
 * Everything that a submission writes, in one step and one round trip: record, lists, BullJob, the settlement that waits for
 * its end when somebody must be told, and the first event. Refuses when the pool is full, in the same step, so racing requests
 * cannot overshoot, and when an asset that the job names is not there any more. `created_at_ms` is Redis's moment: hosts whose clocks differ then agree on when a job expires.
 *
 * The BullJob is written as BullMQ's addPrioritizedJob, addDelayedJob and addParentJob write it (6.7.0); a test compares all
 * keys with what BullMQ itself makes of the same job.
 */
const SUBMIT = luaScript(`
local call = redis.call
local id, jobKey, withParent = ARGV[2], KEYS[9], ARGV[23] ~= ""
local old = call("HMGET", KEYS[1], "body_sha256", "cancel_requested_at_ms", "expired_at_ms")
if old[1] then
  if old[1] ~= ARGV[5] then return {"reused"} end
  -- What BullMQ has, or what was withdrawn, must not be added again: its parent would settle twice.
  if old[2] or old[3] or call("EXISTS", jobKey) == 1 then return {"known"} end
end
local waiting = call("LLEN", KEYS[3])
local queued = call("ZCARD", KEYS[2])
if not old[1] and waiting + queued + call("ZCARD", KEYS[4]) >= tonumber(ARGV[1]) then return {"full"} end

-- What a job names is kept until its record is forgotten; an asset that is not there any more cannot be named.
local assets = {}
if not old[1] then
  for i = 27, #ARGV do
    if not call("ZSCORE", KEYS[24], ARGV[i]) then return {"missing", ARGV[i]} end
    assets[#assets + 1] = ARGV[i]
  end
end

local t = call("TIME")
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function after(ms) return string.format("%.0f", now + ms) end
if not old[1] then
  call("HSET", KEYS[1], "tenant", ARGV[3], "pool", ARGV[4], "created_at_ms", after(0), "body_sha256", ARGV[5],
    "head", ARGV[6], "request", ARGV[7])
  if ARGV[26] ~= "" then call("HSET", KEYS[1], "canonical_sha256", ARGV[26]) end
  if ARGV[8] ~= "" then call("HSET", KEYS[1], "secrets", ARGV[8]) end
  call("ZADD", KEYS[5], after(ARGV[9]), id)
  if ARGV[10] ~= "" then call("ZADD", KEYS[6], after(ARGV[10]), id) end
  call("SADD", KEYS[7], ARGV[4])
  if #assets > 0 then call("HSET", KEYS[1], "assets", table.concat(assets, " ")) end
  for _, asset in ipairs(assets) do call("HINCRBY", KEYS[25], asset, 1) end
  for i = 26, #KEYS do call("ZADD", KEYS[i], after(0), id) end
end

local timestamp, delay, priority = tonumber(ARGV[18]), tonumber(ARGV[19]), tonumber(ARGV[20])
local function longest(metaKey)
  local most = call("HGET", metaKey, "opts.maxLenEvents")
  if not most then
    most = ARGV[21]
    call("HSET", metaKey, "opts.maxLenEvents", most)
  end
  return most
end
if withParent then
  call("INCR", KEYS[20])
  local most = longest(KEYS[21])
  call("HSET", KEYS[18], "name", "settlement", "data", ARGV[23], "opts", ARGV[24], "timestamp", timestamp, "delay", 0,
    "priority", 0)
  call("XADD", KEYS[23], "*", "event", "added", "jobId", id, "name", "settlement")
  call("ZADD", KEYS[22], timestamp, id)
  call("XADD", KEYS[23], "MAXLEN", "~", most, "*", "event", "waiting-children", "jobId", id)
  call("SADD", KEYS[19], jobKey)
  call("HSET", jobKey, "parentKey", KEYS[18], "parent", ARGV[25])
end
call("INCR", KEYS[10])
local most = longest(KEYS[11])
call("HSET", jobKey, "name", "job", "data", ARGV[16], "opts", ARGV[17], "timestamp", timestamp, "delay", delay,
  "priority", priority)
call("XADD", KEYS[13], "*", "event", "added", "jobId", id, "name", "job")
local position = 0
if delay > 0 then
  local at = timestamp + delay
  local score, last = at * 0x1000, (at + 1) * 0x1000 - 1
  local latest = call("ZREVRANGEBYSCORE", KEYS[4], last, score, "WITHSCORES", "LIMIT", 0, 1)
  if latest[2] then score = math.min(tonumber(latest[2]) + 1, last) end
  call("ZADD", KEYS[4], score, id)
  call("XADD", KEYS[13], "MAXLEN", "~", most, "*", "event", "delayed", "jobId", id, "delay", at)
  call("ZADD", KEYS[12], tonumber(call("ZRANGE", KEYS[4], 0, 0, "WITHSCORES")[2]) / 0x1000, "1")
else
  local limits = call("HMGET", KEYS[11], "paused", "concurrency")
  local isHeldUp = limits[1] or (limits[2] and call("LLEN", KEYS[15]) >= tonumber(limits[2]))
  call("ZADD", KEYS[2], priority * 0x100000000 + call("INCR", KEYS[14]) % 0x100000000, id)
  if not isHeldUp then call("ZADD", KEYS[12], 0, "0") end
  call("XADD", KEYS[13], "MAXLEN", "~", most, "*", "event", "waiting", "jobId", id)
  position = waiting + call("ZRANK", KEYS[2], id) + 1
end

call("XADD", KEYS[8], "MAXLEN", "~", ARGV[11], "*", "event", ARGV[13])
call("EXPIRE", KEYS[8], ARGV[12])
call("PUBLISH", ARGV[14], ARGV[15])
local alive = call("ZCOUNT", KEYS[17], after(-ARGV[22]), "+inf")
return {old[1] and "completed" or "new", call("HGET", KEYS[1], "created_at_ms"), position, call("GET", KEYS[16]), alive}
`);

/** What BullMQ keeps of one of its jobs. */
interface BullPaper {
  readonly data: string;
  readonly opts: string;
}

/** Everything that a submission writes, as text. */
export interface SubmissionPapers {
  readonly jobId: string;
  readonly tenant: string;
  readonly pool: string;
  readonly tags: readonly string[];
  readonly expiresInMs: number | undefined;
  readonly bodySha256: string;
  readonly canonicalSha256: string | undefined;
  readonly head: string;
  readonly request: string | Buffer;
  readonly sealedSecrets: string | undefined;
  /** Ids of the assets that it names, each once. */
  readonly assets: readonly string[];
  readonly firstEvent: string;
  readonly notice: string;
  readonly bull: BullPaper & { readonly timestampMs: number; readonly delayMs: number; readonly priority: number };
  /** Only when somebody must be told of the end. */
  readonly settlement: (BullPaper & { readonly parent: string }) | undefined;
}

export type Written =
  /** `completed`: a record without a BullJob had been left by somebody who died. */
  | {
      readonly kind: "new" | "completed";
      readonly createdAtMs: number;
      /** 1 = next; undefined for a job that waits for its moment. */
      readonly position: number | undefined;
      readonly meanRenderMs: number | undefined;
      readonly workersAlive: number;
    }
  | { readonly kind: "known" | "reused" | "full" }
  | { readonly kind: "missing"; readonly assetId: string };

export async function writeSubmission(room: QueueRoom, papers: SubmissionPapers): Promise<Written> {
  const answer = await runScript(room.redis, SUBMIT, keysOf(room, papers), valuesOf(room, papers));
  const [kind, createdAtMs, position, mean, workers]: readonly unknown[] = Array.isArray(answer) ? answer : [];
  if (kind === "known" || kind === "reused" || kind === "full") return { kind };
  if (kind === "missing") return { kind, assetId: assetIdIn(String(createdAtMs)) };
  return {
    kind: kind === "completed" ? kind : "new",
    createdAtMs: Number(createdAtMs),
    position: Number(position) || undefined,
    meanRenderMs: mean === null ? undefined : Number(mean),
    workersAlive: Number(workers),
  };
}

/** The other half of `assetMember`. */
function assetIdIn(member: string): string {
  return member.slice(member.indexOf("/") + 1);
}

function keysOf({ names }: QueueRoom, { jobId, tenant, pool, tags }: SubmissionPapers): readonly string[] {
  const queue = `${names.bull(names.jobsQueue(pool), "")}`;
  const settlements = `${names.bull(names.settlementsQueue, "")}`;
  return [
    names.record(jobId),
    `${queue}prioritized`,
    `${queue}wait`,
    `${queue}delayed`,
    names.retention,
    names.expiring,
    names.pools,
    names.events(jobId),
    queue + jobId,
    `${queue}id`,
    `${queue}meta`,
    `${queue}marker`,
    `${queue}events`,
    `${queue}pc`,
    `${queue}active`,
    names.meanRender(pool),
    names.workers,
    settlements + jobId,
    `${settlements}${jobId}:dependencies`,
    `${settlements}id`,
    `${settlements}meta`,
    `${settlements}waiting-children`,
    `${settlements}events`,
    names.assets,
    names.assetJobs,
    names.index(tenant),
    ...tags.map((tag) => names.index(tenant, tag)),
  ];
}

/** In the order of ARGV. */
function valuesOf({ names, settings }: QueueRoom, papers: SubmissionPapers): readonly (string | number | Buffer)[] {
  const { bull, settlement } = papers;
  return [
    settings.queueCap,
    papers.jobId,
    papers.tenant,
    papers.pool,
    papers.bodySha256,
    papers.head,
    papers.request,
    papers.sealedSecrets ?? "",
    settings.retentionRecheckMs,
    papers.expiresInMs ?? "",
    settings.eventStreamLength,
    settings.eventStreamTtlSeconds,
    papers.firstEvent,
    names.watch(papers.jobId),
    papers.notice,
    bull.data,
    bull.opts,
    bull.timestampMs,
    bull.delayMs,
    bull.priority,
    settings.bullEventsLength,
    Math.round(settings.beatTtlMs),
    settlement?.data ?? "",
    settlement?.opts ?? "",
    settlement?.parent ?? "",
    papers.canonicalSha256 ?? "",
    ...papers.assets.map((id) => assetMember(papers.tenant, id)),
  ];
}
