import { CHECK_LIMITS } from "./limits.ts";
import { namedScript } from "./luaScript.ts";
import { PROMISE_ROWS } from "./promisedRows.ts";
import { TAKE_TURN } from "./turns.ts";

/** What the script calls its keys; `<name>Key` there. The lists of jobs of the tenant, its tags and its batch follow. */
const KEYS = [
  "record",
  "prioritized",
  "wait",
  "delayed",
  "retention",
  "expiring",
  "pools",
  "events",
  "job",
  "jobCounter",
  "meta",
  "marker",
  "bullEvents",
  "singles",
  "crowd",
  "batch",
  "batchStates",
  "reserved",
  "promised",
  "active",
  "spans",
  "poolWorkers",
  "limits",
  "tenants",
  "open",
  "seats",
  "usage",
  "pace",
  "settlement",
  "settlementDependencies",
  "settlementCounter",
  "settlementMeta",
  "settlementsWaiting",
  "settlementEvents",
  "assets",
  "assetJobs",
  "wanted",
  "busy",
  "queuedNotice",
  "settlementsWait",
  "settlementsActive",
  "settlementsMarker",
] as const;

/** What the script calls its values. The assets that the job names follow. */
const VALUES = [
  "queueCap",
  "id",
  "tenant",
  "pool",
  "bodySha256",
  "head",
  "request",
  "sealedSecrets",
  "recheckMs",
  "expiresInMs",
  "eventsLength",
  "eventsTtl",
  "firstEvent",
  "watch",
  "notice",
  "bullData",
  "bullOpts",
  "timestamp",
  "delay",
  "priority",
  "bullEventsLength",
  "beatTtlMs",
  "mustSettle",
  "tellQueued",
  "childOpts",
  "settlementData",
  "settlementOpts",
  "settlementParent",
  "queuedData",
  "queuedOpts",
  "canonicalSha256",
  "batchId",
  "shape",
  "row",
  "promptNotices",
  "promptNotice",
  "paceMs",
] as const;

/**
 * Everything that a submission writes, in one step and one round trip: record, lists, BullJob, the settlement that waits for
 * its end when somebody must be told, word of its being queued when somebody wants that, and the first event. What the tenant's
 * endpoints want is asked here, so that no job falls between an endpoint's making and its own. Refuses when the pool or a limit
 * of the tenant is full, in the same step, so racing requests cannot overshoot, and when an asset that the job names is not there
 * any more. `created_at_ms` is Redis's moment: hosts whose clocks differ then agree on when a job expires.
 *
 * The BullJob is written as BullMQ's addPrioritizedJob, addDelayedJob, addParentJob and addStandardJob write it (6.7.0); a test
 * compares all keys with what BullMQ itself makes of the same job. Only its place inside its level is ours (turns.ts).
 */
export const SUBMIT = namedScript(
  { keys: KEYS, values: VALUES },
  `
local call = redis.call
${CHECK_LIMITS}
${TAKE_TURN}${PROMISE_ROWS}
local old = call("HMGET", recordKey, "body_sha256", "cancel_requested_at_ms", "expired_at_ms")
if old[1] then
  if old[1] ~= bodySha256 then return {"reused"} end
  -- What BullMQ has, or what was withdrawn, must not be added again: its parent would settle twice.
  if old[2] or old[3] or call("EXISTS", jobKey) == 1 then return {"known"} end
end
local isChild = batchId ~= ""
-- Its batch has this row's job already, or does not want one any more.
if isChild and call("GETRANGE", batchStatesKey, row, row) ~= "." then return {"known"} end
local waiting = call("LLEN", waitKey)
local queued = call("ZCARD", prioritizedKey)
-- A batch came in with room for all its jobs.
if not old[1] and not isChild then
  local promised = tonumber(call("HGET", reservedKey, pool) or 0)
  if waiting + queued + call("ZCARD", delayedKey) + promised >= tonumber(queueCap) then
    return {"full", perSecond(paceKey)}
  end
  local refusal = refusalOf(1)
  if refusal then return refusal end
end

-- What a job names is kept until its record is forgotten; an asset that is not there any more cannot be named.
local assets = {}
if not old[1] then
  for i = FIRST_VALUE, #ARGV do
    if not call("ZSCORE", assetsKey, ARGV[i]) then return {"missing", ARGV[i]} end
    assets[#assets + 1] = ARGV[i]
  end
end

local function after(ms) return string.format("%.0f", now + ms) end
if not old[1] then
  call("HSET", recordKey, "tenant", tenant, "pool", pool, "created_at_ms", after(0), "body_sha256", bodySha256,
    "head", head, "request", request, "shape", shape)
  if tonumber(delay) > 0 then call("HSET", recordKey, "due_at_ms", string.format("%.0f", timestamp + delay)) end
  if canonicalSha256 ~= "" then call("HSET", recordKey, "canonical_sha256", canonicalSha256) end
  if isChild then
    call("HSET", recordKey, "batch", batchId)
    call("SETRANGE", batchStatesKey, row, "q")
    promiseRows(-1)
  end
  if sealedSecrets ~= "" then call("HSET", recordKey, "secrets", sealedSecrets) end
  call("ZADD", retentionKey, after(recheckMs), id)
  if expiresInMs ~= "" then call("ZADD", expiringKey, after(expiresInMs), id) end
  call("SADD", poolsKey, pool)
  if #assets > 0 then call("HSET", recordKey, "assets", table.concat(assets, " ")) end
  for _, asset in ipairs(assets) do call("HINCRBY", assetJobsKey, asset, 1) end
  for i = FIRST_KEY, #KEYS do call("ZADD", KEYS[i], after(0), id) end
end

local wants = call("SMISMEMBER", wantedKey, "job.queued", "queue.idle", "job.succeeded", "job.failed", "job.canceled",
  "job.expired")
local withParent = mustSettle ~= "" or wants[2] + wants[3] + wants[4] + wants[5] + wants[6] > 0
if withParent then bullOpts = string.sub(bullOpts, 1, -2) .. "," .. string.sub(childOpts, 2) end
if wants[2] == 1 then
  call("SADD", busyKey, id)
  settlementData = string.sub(settlementData, 1, -2) .. ',"busy":"' .. pool .. '"}'
end

call("ZADD", openKey, "NX", after(0), id)
call("SADD", tenantsKey, tenant)
timestamp, delay, priority = tonumber(timestamp), tonumber(delay), tonumber(priority)
local function longest(metaKey)
  local most = call("HGET", metaKey, "opts.maxLenEvents")
  if not most then
    most = bullEventsLength
    call("HSET", metaKey, "opts.maxLenEvents", most)
  end
  return most
end
local function isHeldUp(metaKey, activeKey)
  local limits = call("HMGET", metaKey, "paused", "concurrency")
  return limits[1] or (limits[2] and call("LLEN", activeKey) >= tonumber(limits[2]))
end
if withParent then
  call("INCR", settlementCounterKey)
  local most = longest(settlementMetaKey)
  call("HSET", settlementKey, "name", "settlement", "data", settlementData, "opts", settlementOpts,
    "timestamp", timestamp, "delay", 0, "priority", 0)
  call("XADD", settlementEventsKey, "*", "event", "added", "jobId", id, "name", "settlement")
  call("ZADD", settlementsWaitingKey, timestamp, id)
  call("XADD", settlementEventsKey, "MAXLEN", "~", most, "*", "event", "waiting-children", "jobId", id)
  call("SADD", settlementDependenciesKey, jobKey)
  call("HSET", jobKey, "parentKey", settlementKey, "parent", settlementParent)
end
if (tellQueued ~= "" or wants[1] == 1) and call("EXISTS", queuedNoticeKey) == 0 then
  local noticeId = id .. "-queued"
  call("INCR", settlementCounterKey)
  local most = longest(settlementMetaKey)
  call("HSET", queuedNoticeKey, "name", "queued", "data", queuedData, "opts", queuedOpts,
    "timestamp", timestamp, "delay", 0, "priority", 0)
  call("XADD", settlementEventsKey, "*", "event", "added", "jobId", noticeId, "name", "queued")
  call("LPUSH", settlementsWaitKey, noticeId)
  if not isHeldUp(settlementMetaKey, settlementsActiveKey) then call("ZADD", settlementsMarkerKey, 0, "0") end
  call("XADD", settlementEventsKey, "MAXLEN", "~", most, "*", "event", "waiting", "jobId", noticeId)
end
call("INCR", jobCounterKey)
local most = longest(metaKey)
call("HSET", jobKey, "name", "job", "data", bullData, "opts", bullOpts, "timestamp", timestamp, "delay", delay,
  "priority", priority)
call("XADD", bullEventsKey, "*", "event", "added", "jobId", id, "name", "job")
local position = 0
if delay > 0 then
  local at = timestamp + delay
  local score, last = at * 0x1000, (at + 1) * 0x1000 - 1
  local latest = call("ZREVRANGEBYSCORE", delayedKey, last, score, "WITHSCORES", "LIMIT", 0, 1)
  if latest[2] then score = math.min(tonumber(latest[2]) + 1, last) end
  call("ZADD", delayedKey, score, id)
  call("XADD", bullEventsKey, "MAXLEN", "~", most, "*", "event", "delayed", "jobId", id, "delay", at)
  call("ZADD", markerKey, tonumber(call("ZRANGE", delayedKey, 0, 0, "WITHSCORES")[2]) / 0x1000, "1")
else
  call("ZADD", prioritizedKey, takeTurn(), id)
  if not isHeldUp(metaKey, activeKey) then call("ZADD", markerKey, 0, "0") end
  call("XADD", bullEventsKey, "MAXLEN", "~", most, "*", "event", "waiting", "jobId", id)
  position = waiting + call("ZRANK", prioritizedKey, id) + 1
end

-- A stream takes 4.8 KB as soon as it has one entry. A watcher is shown the job as it is before anything of its stream, and a
-- row that waits has nothing more to say: ten thousand of them would say it with half of a batch's memory.
if not isChild then
  call("XADD", eventsKey, "MAXLEN", "~", eventsLength, "*", "event", firstEvent)
  call("EXPIRE", eventsKey, eventsTtl)
  call("PUBLISH", watch, notice)
end
-- Before any worker can have it, so that who listens hears of it first.
if promptNotices ~= "" then call("PUBLISH", promptNotices, call("ZCARD", openKey) .. " " .. promptNotice) end
local spans = call("HMGET", spansKey, shape, "*")
return {old[1] and "completed" or "new", call("HGET", recordKey, "created_at_ms"), position, spans[1], spans[2],
  call("ZCOUNT", poolWorkersKey, after(-beatTtlMs), "+inf"), call("LLEN", activeKey)}
`,
);
