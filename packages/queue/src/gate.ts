import { IS_OVER } from "./isOver.ts";
import { namedScript, runNamed } from "./luaScript.ts";
import type { QueueRoom } from "./room.ts";

/**
 * The gate of each receiving host: only so many deliveries to one host are under way at once, over all dispatchers, and the
 * others stand in its line, oldest first, put off in BullMQ. Whoever comes out hands their slot to the next in line and wakes
 * it, so nobody looks again and again whether it is their turn: ten thousand deliveries to one slow host cost two looks each.
 *
 * Hosts are trusted by how they answered last. A swift one has its slots to itself. All others, slow, silent or never met, share
 * the cautious slots, host after host in turn: so however many of them hang, other hosts' deliveries find a free slot.
 *
 * A slot is a lease: a dispatcher that died gives it back by time. One that is handed over stays in the line until it is taken, so
 * it is offered again when the taker died on the way.
 */
const FILL = `${IS_OVER}
local time = redis.call("TIME")
local at = time[1] * 1000 + math.floor(time[2] / 1000)
local untilAt = at + tonumber(leaseMs)

local function activeOf(host) return gatePrefix .. host .. ":active" end
local function lineOf(host) return gatePrefix .. host .. ":line" end
local function isStill(key, host) return (tonumber(redis.call("ZSCORE", key, host)) or 0) > at end

-- As promote.lua would (BullMQ 6.7.0), but before all others.
local function wake(delivery)
  if redis.call("ZREM", delayedKey, delivery) == 0 then return end
  redis.call("HSET", bullPrefix .. delivery, "delay", 0)
  redis.call("RPUSH", waitKey, delivery)
  redis.call("ZADD", markerKey, 0, "0")
end

-- Hands the free slots of a host to the first in its line.
local function fill(host)
  local active, line = activeOf(host), lineOf(host)
  redis.call("ZREMRANGEBYSCORE", active, "-inf", at)
  redis.call("ZREMRANGEBYSCORE", cautiousKey, "-inf", at)
  local isSwift = isStill(swiftKey, host)
  local limit = (isSwift or isStill(slowKey, host)) and tonumber(perHost) or 1
  local free = limit - redis.call("ZCARD", active)
  for _, first in ipairs(redis.call("ZRANGE", line, 0, limit + 9)) do
    if free <= 0 then break end
    if redis.call("ZSCORE", active, first) then
      -- on its way
    elseif isOver(bullPrefix .. first) then
      redis.call("ZREM", line, first)
    else
      if not isSwift then
        if redis.call("ZCARD", cautiousKey) >= tonumber(cautiousSlots) then
          redis.call("ZADD", cautiousLineKey, "NX", at, host)
          break
        end
        redis.call("ZADD", cautiousKey, untilAt, first)
      end
      redis.call("ZADD", active, untilAt, first)
      free = free - 1
      wake(first)
    end
  end
  if redis.call("EXISTS", line) == 0 then redis.call("SREM", gatesKey, host) end
end
`;

const KEYS = [
  "gates",
  "swift",
  "slow",
  "cautious",
  "cautiousLine",
  "delivery",
  "failed",
  "delayed",
  "wait",
  "marker",
] as const;
const VALUES = ["gatePrefix", "bullPrefix", "perHost", "cautiousSlots", "leaseMs", "host", "id"] as const;

/** A try is noted in the step that lets it through: what was sent stands in the log, whatever happens next. */
const ENTER = namedScript(
  { keys: KEYS, values: [...VALUES, "opened"] },
  `${FILL}
local active, line = activeOf(host), lineOf(host)
if not redis.call("ZSCORE", active, id) then
  redis.call("ZADD", line, "NX", at, id)
  redis.call("SADD", gatesKey, host)
  fill(host)
end
if not redis.call("ZSCORE", active, id) then return { 0, redis.call("ZRANK", line, id) or 0 } end
redis.call("ZADD", active, "XX", untilAt, id)
redis.call("ZADD", cautiousKey, "XX", untilAt, id)
redis.call("ZREM", line, id)
if redis.call("EXISTS", line) == 0 then redis.call("SREM", gatesKey, host) end
local number = redis.call("HINCRBY", deliveryKey, "tries", 1)
redis.call("HSET", deliveryKey, "t" .. number, opened)
redis.call("HDEL", deliveryKey, "t" .. (number - tonumber(ARGV[FIRST_VALUE])))
return { 1, number }
`,
);

const LEAVE = namedScript(
  { keys: KEYS, values: [...VALUES, "number", "closed", "pace", "paceMs", "failedAt"] },
  `${FILL}
redis.call("ZREM", activeOf(host), id)
redis.call("ZREM", lineOf(host), id)
local wasCautious = redis.call("ZREM", cautiousKey, id) == 1
if pace ~= "unknown" then
  redis.call("ZREM", swiftKey, host)
  redis.call("ZREM", slowKey, host)
end
if pace == "swift" then redis.call("ZADD", swiftKey, at + tonumber(paceMs), host) end
if pace == "slow" then redis.call("ZADD", slowKey, at + tonumber(paceMs), host) end
if redis.call("HEXISTS", deliveryKey, "t" .. number) == 1 then redis.call("HSET", deliveryKey, "t" .. number, closed, "last", closed) end
if failedAt ~= "" then redis.call("ZADD", failedKey, failedAt, id) else redis.call("ZREM", failedKey, id) end
if wasCautious then
  local turn = redis.call("ZRANGE", cautiousLineKey, 0, 0)[1]
  if turn then
    redis.call("ZREM", cautiousLineKey, turn)
    fill(turn)
  end
end
fill(host)
`,
);

/** What was put off a moment after it had been handed a slot comes back at once. */
const RETURN = namedScript(
  { keys: KEYS, values: VALUES },
  `${FILL}
if redis.call("ZSCORE", activeOf(host), id) then wake(id) end
`,
);

/** Hands out what the dead have left; forgets hosts that nobody has asked for long. */
const TEND = namedScript(
  { keys: KEYS, values: VALUES },
  `${FILL}
redis.call("ZREMRANGEBYSCORE", swiftKey, "-inf", at)
redis.call("ZREMRANGEBYSCORE", slowKey, "-inf", at)
for _, waiting in ipairs(redis.call("ZRANGE", cautiousLineKey, 0, -1)) do
  redis.call("ZREM", cautiousLineKey, waiting)
  fill(waiting)
end
for _, known in ipairs(redis.call("SMEMBERS", gatesKey)) do fill(known) end
`,
);

/** How a host answered: within the swift time, later, or not at all; `unknown`: it was not asked. */
export type Pace = "swift" | "slow" | "silent" | "unknown";

/** One delivery at the gate of its host. */
export interface Guest {
  readonly id: string;
  readonly tenant: string;
  /** As in a URL, with its port. */
  readonly host: string;
}

/** What the operator says about gates; all dispatchers must say the same. */
export interface GateLimits {
  /** Deliveries to one host at once, over all dispatchers. */
  readonly perHost: number;
  /** Longest one try can take, ms. */
  readonly leaseMs: number;
}

/** Lets one try through and notes its beginning. @returns its number, or the place in the line (from 0) when it is not its turn */
export async function enterGate(
  room: QueueRoom,
  guest: Guest,
  { limits, opened }: { readonly limits: GateLimits; readonly opened: string },
): Promise<{ readonly kind: "try"; readonly number: number } | { readonly kind: "line"; readonly place: number }> {
  const { keys, values } = words(room, guest, limits);
  const moreValues = [room.settings.deliveryTriesKept];
  const answer = await runNamed(room.redis, ENTER, { keys, values: { ...values, opened }, moreValues });
  const [isOpen, number] = answer as [number, number]; // as the script returns
  return isOpen === 1 ? { kind: "try", number } : { kind: "line", place: number };
}

/** What came of a try. */
export interface Leaving {
  /** 0: nothing was sent. */
  readonly number: number;
  readonly closed: string;
  readonly pace: Pace;
  /** When the delivery was made, Unix ms, if this try was its last and failed. */
  readonly failedMadeAtMs: number | undefined;
}

/** Gives the slot to the next in line and notes what came of the try, in one step. Safe to repeat. */
export async function leaveGate(
  room: QueueRoom,
  guest: Guest,
  { limits, leaving }: { readonly limits: GateLimits; readonly leaving: Leaving },
): Promise<void> {
  const { keys, values } = words(room, guest, limits);
  const { number, closed, pace, failedMadeAtMs } = leaving;
  const told = { number, closed, pace, paceMs: room.settings.paceMemoryMs, failedAt: failedMadeAtMs ?? "" };
  await runNamed(room.redis, LEAVE, { keys, values: { ...values, ...told } });
}

/** To be called once a delivery that stands in a line has been put off: its turn may have come meanwhile. */
export async function comeBackIfCalled(room: QueueRoom, guest: Guest, limits: GateLimits): Promise<void> {
  await runNamed(room.redis, RETURN, words(room, guest, limits));
}

/** Looks after all gates: slots that a dead dispatcher held go to the next in line. */
export async function tendGates(room: QueueRoom, limits: GateLimits): Promise<void> {
  await runNamed(room.redis, TEND, words(room, { id: "", tenant: "", host: "" }, limits));
}

function words({ names, settings }: QueueRoom, { id, tenant, host }: Guest, { perHost, leaseMs }: GateLimits) {
  const bull = (key: string) => names.bull(names.deliveriesQueue, key);
  return {
    keys: {
      gates: names.gates(),
      swift: names.gates("swift"),
      slow: names.gates("slow"),
      cautious: names.gates("cautious"),
      cautiousLine: names.gates("cautious-line"),
      delivery: names.delivery(id),
      failed: names.deliveryIndex(tenant, "failed"),
      delayed: bull("delayed"),
      wait: bull("wait"),
      marker: bull("marker"),
    },
    values: {
      gatePrefix: names.gate(""),
      bullPrefix: bull(""),
      perHost,
      cautiousSlots: settings.cautiousSlots,
      leaseMs,
      host,
      id,
    },
  };
}
