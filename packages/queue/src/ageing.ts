import { namedScript, runNamed } from "./luaScript.ts";
import type { QueueRoom } from "./room.ts";

/**
 * Hops through the levels that wait, from the lowest, and looks at the head of each for the one that has waited longest. A
 * level's numbers share their upper half (turns.ts), so a hop is two look-ups, whatever the level holds.
 */
const FIND_LONGEST = `
local t = redis.call("TIME")
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function waitsSince(id)
  local moments = redis.call("HMGET", recordPrefix .. id, "created_at_ms", "due_at_ms")
  return tonumber(moments[2] or moments[1] or now)
end
local function findLongest(since)
  local LEVEL = 0x100000000
  local below, found = "+inf", nil
  for _ = 1, tonumber(mostLevels) do
    local lowest = redis.call("ZREVRANGEBYSCORE", prioritizedKey, below, "-inf", "WITHSCORES", "LIMIT", 0, 1)
    if not lowest[1] then break end
    local first = string.format("%.0f", math.floor(tonumber(lowest[2]) / LEVEL) * LEVEL)
    local head = redis.call("ZRANGEBYSCORE", prioritizedKey, first, "+inf", "LIMIT", 0, 1)[1]
    local its = waitsSince(head)
    if its <= since then found, since = head, its end
    below = "(" .. first
  end
  return found, since
end
`;

/**
 * A script that can put the job that has waited longest before all others: the right end of `wait` is what BullMQ claims next.
 * `runLongestFirst` runs it.
 */
export function longestFirstScript(text: string) {
  return namedScript(
    {
      keys: ["prioritized", "wait", "marker"],
      values: ["patienceMs", "mostLevels", "recordPrefix"],
    },
    `${FIND_LONGEST}
local function putFirst(id)
  redis.call("ZREM", prioritizedKey, id)
  redis.call("RPUSH", waitKey, id)
  redis.call("ZADD", markerKey, 0, "0")
end
${text}`,
  );
}

const MOVE_AGED = longestFirstScript(`
local aged = findLongest(now - tonumber(patienceMs))
if not aged or redis.call("ZRANK", prioritizedKey, aged) == 0 then return false end
putFirst(aged)
return aged
`);

const LONGEST_WAIT = namedScript(
  { keys: ["prioritized"], values: ["mostLevels", "recordPrefix"] },
  `${FIND_LONGEST}
local found, since = findLongest(now)
return found and now - since or 0
`,
);

/** More levels than anybody uses on purpose: whoever made up a level for each job shall not hold Redis up. */
const MOST_LEVELS = 256;

export function runLongestFirst(
  { redis, names }: QueueRoom,
  script: ReturnType<typeof longestFirstScript>,
  { pool, patienceMs }: { readonly pool: string; readonly patienceMs: number },
): Promise<unknown> {
  const queue = names.jobsQueue(pool);
  return runNamed(redis, script, {
    keys: {
      prioritized: names.bull(queue, "prioritized"),
      wait: names.bull(queue, "wait"),
      marker: names.bull(queue, "marker"),
    },
    values: { patienceMs: Math.round(patienceMs), mostLevels: MOST_LEVELS, recordPrefix: names.record("") },
  });
}

/**
 * Of the jobs that wait longer than `patienceMs` (counted from when they were submitted, or from `run_at`), puts the one that has
 * waited longest before all others of its pool, whatever its priority.
 * @returns its id; undefined when there is none, or it is the next anyway
 */
export async function moveAgedFirst(room: QueueRoom, pool: string, patienceMs: number): Promise<string | undefined> {
  const moved = await runLongestFirst(room, MOVE_AGED, { pool, patienceMs });
  return typeof moved === "string" ? moved : undefined;
}

/** How long the job has waited, in ms, that waits longest of those that could start; 0 when none does. Only looks. */
export async function longestWaitMs({ redis, names }: QueueRoom, pool: string): Promise<number> {
  const keys = { prioritized: names.bull(names.jobsQueue(pool), "prioritized") };
  const values = { mostLevels: MOST_LEVELS, recordPrefix: names.record("") };
  return Number(await runNamed(redis, LONGEST_WAIT, { keys, values }));
}
