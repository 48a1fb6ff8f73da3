import { toBullPriority } from "./envelopes.ts";
import { IS_OVER } from "./isOver.ts";
import { READ_LIMITS } from "./limits.ts";
import { namedScript, runNamed } from "./luaScript.ts";
import type { QueueRoom } from "./room.ts";

/** A seat whose holder's lock is gone is nobody's: its worker was killed. */
const FREE_DEAD_SEATS = `
local function freeDeadSeats()
  local seats = redis.call("HGETALL", seatsKey)
  for i = 1, #seats, 2 do
    if redis.call("EXISTS", seats[i + 1]) == 0 then redis.call("HDEL", seatsKey, seats[i]) end
  end
end
`;

/**
 * Takes the first of a tenant's line to the front of their queue, as many as there are seats: what is delayed is woken, what is
 * awake already counts, what has ended is forgotten. How often it looks is bounded, whatever has ended there.
 */
export const WAKE_LINE = `${IS_OVER}
local function wakeLine(wanted)
  if wanted <= 0 then return end
  for _, id in ipairs(redis.call("ZRANGE", lineKey, 0, wanted + 99)) do
    if wanted <= 0 then return end
    if redis.call("ZREM", delayedKey, id) == 1 then
      redis.call("RPUSH", waitKey, id)
      redis.call("ZADD", markerKey, 0, "0")
      wanted = wanted - 1
    elseif isOver(bullPrefix .. id) then
      redis.call("ZREM", lineKey, id)
    else
      wanted = wanted - 1
    end
  end
end
`;

const TAKE = namedScript(
  {
    keys: ["seats", "line", "lines", "lineCounter"],
    values: ["id", "lock", "limit", "priority", "lineName"],
  },
  `${FREE_DEAD_SEATS}
local function isFull() return limit ~= "" and redis.call("HLEN", seatsKey) >= tonumber(limit) end
if redis.call("HEXISTS", seatsKey, id) == 0 and isFull() then
  freeDeadSeats()
  if isFull() then
    if not redis.call("ZSCORE", lineKey, id) then
      redis.call("ZADD", lineKey, priority * 0x100000000 + redis.call("INCR", lineCounterKey) % 0x100000000, id)
      redis.call("SADD", linesKey, lineName)
    end
    return redis.call("ZRANK", lineKey, id)
  end
end
redis.call("HSET", seatsKey, id, lock)
redis.call("ZREM", lineKey, id)
return -1
`,
);

const LOOK_AFTER_LINE = namedScript(
  {
    keys: ["limits", "seats", "line", "lines", "delayed", "wait", "marker"],
    values: ["tenant", "bullPrefix", "lineName"],
  },
  `${READ_LIMITS}${FREE_DEAD_SEATS}${WAKE_LINE}
freeDeadSeats()
local waiting = redis.call("ZCARD", lineKey)
local most = limitOf("running")
wakeLine(most and most - redis.call("HLEN", seatsKey) or waiting)
if redis.call("ZCARD", lineKey) == 0 then redis.call("SREM", linesKey, lineName) end
return 1
`,
);

interface Sitting {
  readonly jobId: string;
  readonly tenant: string;
  readonly pool: string;
  readonly priority: number;
}

/**
 * Takes one of the tenant's seats for a job whose lock the caller holds. Safe to repeat.
 * @param limit how many seats the tenant has; undefined: as many as it likes, they are only counted
 * @returns undefined when it has one; else its place in the tenant's line for this pool, 0 the first
 */
export async function takeRunningSeat(
  { redis, names }: QueueRoom,
  { jobId, tenant, pool, priority }: Sitting,
  limit: number | undefined,
): Promise<number | undefined> {
  const place = await runNamed(redis, TAKE, {
    keys: {
      seats: names.seats(tenant),
      line: names.line(tenant, pool),
      lines: names.lines,
      lineCounter: names.lineCounter,
    },
    values: {
      id: jobId,
      lock: names.bull(names.jobsQueue(pool), `${jobId}:lock`),
      limit: limit ?? "",
      priority: toBullPriority(priority),
      lineName: nameOfLine(tenant, pool),
    },
  });
  return Number(place) < 0 ? undefined : Number(place);
}

/** Gives a seat up that was taken for a job that is not begun after all. */
export async function leaveSeat({ redis, names }: QueueRoom, tenant: string, jobId: string): Promise<void> {
  await redis.hdel(names.seats(tenant), jobId);
}

/** Wakes whoever may sit down by now: workers were killed, limits were raised, a word was lost. Safe to repeat. */
export async function lookAfterLines(room: QueueRoom): Promise<void> {
  const { redis, names } = room;
  for (const lineName of await redis.smembers(names.lines)) {
    const [tenant = "", pool = ""] = lineName.split(" ");
    const queue = names.jobsQueue(pool);
    await runNamed(redis, LOOK_AFTER_LINE, {
      keys: {
        limits: names.limits,
        seats: names.seats(tenant),
        line: names.line(tenant, pool),
        lines: names.lines,
        delayed: names.bull(queue, "delayed"),
        wait: names.bull(queue, "wait"),
        marker: names.bull(queue, "marker"),
      },
      values: { tenant, bullPrefix: names.bull(queue, ""), lineName },
    });
  }
}

/** Neither name has a blank. */
function nameOfLine(tenant: string, pool: string): string {
  return `${tenant} ${pool}`;
}
