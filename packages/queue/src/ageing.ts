import { namedScript, runNamed } from "./luaScript.ts";
import type { QueueRoom } from "./room.ts";

/**
 * Hops through the levels that wait, from the lowest, looks at the head of each, and puts the one that has waited longest before
 * all others: the right end of `wait` is what BullMQ claims next. Leaves alone what is the next anyway. A level's numbers
 * share their upper half (BullMQ's getPriorityScore.lua), so a hop is two look-ups, whatever the level holds.
 */
const MOVE_AGED = namedScript(
  {
    keys: ["prioritized", "wait", "marker"],
    values: ["patienceMs", "mostLevels", "recordPrefix"],
  },
  `
local call = redis.call
local t = call("TIME")
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local LEVEL = 0x100000000
local below, aged, agedSince = "+inf", nil, now - tonumber(patienceMs)
for _ = 1, tonumber(mostLevels) do
  local lowest = call("ZREVRANGEBYSCORE", prioritizedKey, below, "-inf", "WITHSCORES", "LIMIT", 0, 1)
  if not lowest[1] then break end
  local first = string.format("%.0f", math.floor(tonumber(lowest[2]) / LEVEL) * LEVEL)
  local head = call("ZRANGEBYSCORE", prioritizedKey, first, "+inf", "LIMIT", 0, 1)[1]
  local moments = call("HMGET", recordPrefix .. head, "created_at_ms", "due_at_ms")
  local since = tonumber(moments[2] or moments[1] or now)
  if since <= agedSince then aged, agedSince = head, since end
  below = "(" .. first
end
if not aged or call("ZRANK", prioritizedKey, aged) == 0 then return false end
call("ZREM", prioritizedKey, aged)
call("RPUSH", waitKey, aged)
call("ZADD", markerKey, 0, "0")
return aged
`,
);

/** More levels than anybody uses on purpose: whoever made up a level for each job shall not hold Redis up. */
const MOST_LEVELS = 256;

/**
 * Of the jobs that wait longer than `patienceMs` (counted from when they were submitted, or from `run_at`), puts the one that has
 * waited longest before all others of its pool, whatever its priority.
 * @returns its id; undefined when there is none, or it is the next anyway
 */
export async function moveAgedFirst(room: QueueRoom, pool: string, patienceMs: number): Promise<string | undefined> {
  const queue = room.names.jobsQueue(pool);
  const moved = await runNamed(room.redis, MOVE_AGED, {
    keys: {
      prioritized: room.names.bull(queue, "prioritized"),
      wait: room.names.bull(queue, "wait"),
      marker: room.names.bull(queue, "marker"),
    },
    values: { patienceMs: Math.round(patienceMs), mostLevels: MOST_LEVELS, recordPrefix: room.names.record("") },
  });
  return typeof moved === "string" ? moved : undefined;
}
