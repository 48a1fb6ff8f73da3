import { CHECK_LIMITS } from "./limits.ts";
import { namedScript } from "./luaScript.ts";
import { PROMISE_ROWS } from "./promisedRows.ts";

/**
 * What a batch is, in Redis. `batch:<id>`: what was asked for, its shared graph once. `batch:<id>:rows`: the values of its rows, a
 * hundred in a field. `batch:<id>:states`: one letter for each row, the one place that says how far it is:
 * `.` its job is not made yet, `q` it is made, `s` succeeded, `f` failed, `c` canceled, `x` expired. `batch:<id>:tries`: how often
 * a row was retried. `open` counts the rows that have not ended; the step that makes it 0 completes the batch.
 */
export const ROW_LETTERS = { succeeded: "s", failed: "f", canceled: "c", expired: "x" } as const;

const NOW = `
local call = redis.call
local t = call("TIME")
local function moment(ms) return string.format("%.0f", t[1] * 1000 + math.floor(t[2] / 1000) + ms) end
`;

/** What it takes to find out whether there is room for rows, and to take it. */
const ROOM_KEYS = [
  "reserved",
  "promised",
  "wait",
  "prioritized",
  "delayed",
  "limits",
  "open",
  "seats",
  "usage",
  "pace",
] as const;

/** Is there room for so many rows, in the pool and for their tenant? Needs the keys above and what CHECK_LIMITS does. */
const CHECK_ROOM = `
local function refusalOfRows(rows)
  local waiting = call("LLEN", waitKey) + call("ZCARD", prioritizedKey) + call("ZCARD", delayedKey)
  local used = waiting + tonumber(call("HGET", reservedKey, pool) or 0)
  if used + rows > tonumber(queueCap) then return {"full", perSecond(paceKey), used} end
  return refusalOf(rows)
end
`;

/** Everything of a batch in one step: its room under the pool's cap, its hold on assets, and the note that it is to be made. */
export const COMMIT_BATCH = namedScript(
  {
    keys: ["batch", "rows", "states", "index", "care", "pools", "assets", "assetJobs", ...ROOM_KEYS],
    values: [
      "queueCap",
      "id",
      "tenant",
      "pool",
      "bodySha256",
      "canonicalSha256",
      "head",
      "request",
      "sealedSecrets",
      "total",
      "careAtMs",
      "leaseMs",
      "shape",
      "paceMs",
      "chunks",
    ],
  },
  `${CHECK_LIMITS}${NOW}${PROMISE_ROWS}${CHECK_ROOM}
local known = call("HGET", batchKey, "body_sha256")
if known then return { known == bodySha256 and "known" or "reused", call("HGET", batchKey, "canonical_sha256") } end
local refusal = refusalOfRows(tonumber(total))
if refusal then return refusal end
local assets = {}
for i = FIRST_VALUE + chunks, #ARGV do
  if not call("ZSCORE", assetsKey, ARGV[i]) then return {"missing", ARGV[i]} end
  assets[#assets + 1] = ARGV[i]
end
call("HSET", batchKey, "tenant", tenant, "pool", pool, "created_at_ms", moment(0), "body_sha256", bodySha256, "canonical_sha256",
  canonicalSha256, "head", head, "request", request, "total", total, "open", total, "round", 1, "shape", shape)
if sealedSecrets ~= "" then call("HSET", batchKey, "secrets", sealedSecrets) end
if #assets > 0 then call("HSET", batchKey, "assets", table.concat(assets, " ")) end
for _, asset in ipairs(assets) do call("HINCRBY", assetJobsKey, asset, 1) end
for i = 0, chunks - 1 do call("HSET", rowsKey, i, ARGV[FIRST_VALUE + i]) end
call("SET", statesKey, string.rep(".", total))
promiseRows(total)
call("ZADD", indexKey, moment(0), id)
call("SADD", poolsKey, pool)
call("ZADD", careKey, careAtMs ~= "" and careAtMs or moment(leaseMs), id)
return {"new"}
`,
);

/** The newest job of a row has ended. Safe to repeat; the end of an earlier try is nobody's business any more. */
export const END_ROW = namedScript(
  { keys: ["batch", "states", "tries", "retention"], values: ["id", "row", "try", "letter", "retentionMs"] },
  `${NOW}
if call("EXISTS", batchKey) == 0 then return "gone" end
if tonumber(call("HGET", triesKey, row) or 0) ~= tonumber(try) then return "old" end
if call("GETRANGE", statesKey, row, row) == "q" then
  call("SETRANGE", statesKey, row, letter)
  if call("HINCRBY", batchKey, "open", -1) == 0 then
    call("HSET", batchKey, "completed_at_ms", moment(0))
    call("ZADD", retentionKey, moment(retentionMs), id)
  end
end
return call("HEXISTS", batchKey, "completed_at_ms") == 1 and "completed" or "open"
`,
);

/** Notes the wish to cancel: no further job is made from here on, and those that are made are to be canceled. */
export const CANCEL_BATCH = namedScript(
  {
    keys: ["batch", "states", "care", "reserved", "promised", "retention"],
    values: ["id", "tenant", "pool", "retentionMs", "leaseMs"],
  },
  `${NOW}${PROMISE_ROWS}
if call("HEXISTS", batchKey, "completed_at_ms") == 1 then
  return call("HEXISTS", batchKey, "cancel_requested_at_ms") == 1 and "known" or "ended"
end
call("HSETNX", batchKey, "cancel_requested_at_ms", moment(0))
local states, unmade = string.gsub(call("GET", statesKey), "%.", "c")
if unmade > 0 then
  call("SET", statesKey, states)
  promiseRows(-unmade)
  if call("HINCRBY", batchKey, "open", -unmade) == 0 then
    call("HSET", batchKey, "completed_at_ms", moment(0))
    call("ZADD", retentionKey, moment(retentionMs), id)
  end
end
call("ZADD", careKey, moment(leaseMs), id)
return "noted"
`,
);

/** Makes rows of some states wait again, each for a job of its own. A batch that had ended is open again, in its next round. */
export const RETRY_ROWS = namedScript(
  {
    keys: ["batch", "states", "tries", "care", "retention", ...ROOM_KEYS],
    values: ["id", "tenant", "pool", "letters", "queueCap", "leaseMs", "paceMs"],
  },
  `${CHECK_LIMITS}${NOW}${PROMISE_ROWS}${CHECK_ROOM}
local ended = call("HEXISTS", batchKey, "completed_at_ms") == 1
if not ended and call("HEXISTS", batchKey, "cancel_requested_at_ms") == 1 then return {"canceling"} end
local states, rows = call("GET", statesKey), {}
for row in string.gmatch(states, "()[" .. letters .. "]") do rows[#rows + 1] = row - 1 end
if #rows == 0 then return {"none"} end
local refusal = refusalOfRows(#rows)
if refusal then return {"refused", #rows, unpack(refusal)} end
for _, row in ipairs(rows) do call("HINCRBY", triesKey, row, 1) end
call("SET", statesKey, (string.gsub(states, "[" .. letters .. "]", ".")))
promiseRows(#rows)
if call("HINCRBY", batchKey, "open", #rows) == #rows then call("HDEL", batchKey, "turn") end
if ended then
  call("HDEL", batchKey, "completed_at_ms", "cancel_requested_at_ms")
  call("HINCRBY", batchKey, "round", 1)
  call("ZREM", retentionKey, id)
end
call("ZADD", careKey, moment(leaseMs), id)
return {"retried", #rows}
`,
);
