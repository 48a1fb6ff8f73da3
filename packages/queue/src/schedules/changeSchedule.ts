import { orUnavailable } from "../errors.ts";
import type { QueueRoom } from "../room.ts";
import { dropAlarm, ringSchedule } from "./alarms.ts";
import { readSchedule, type ScheduleRef, type ScheduleState, scheduleMember } from "./scheduleState.ts";

/** What passes while it is paused is not missed: from where it is resumed on it counts again. */
const PAUSE = `
if redis.call("HEXISTS", KEYS[1], "id") == 0 then return 0 end
if redis.call("HEXISTS", KEYS[1], "paused_at_ms") == (ARGV[1] == "pause" and 1 or 0) then return 1 end
local t = redis.call("TIME")
local now = string.format("%.0f", t[1] * 1000 + math.floor(t[2] / 1000))
if ARGV[1] == "pause" then redis.call("HSET", KEYS[1], "paused_at_ms", now)
else
  redis.call("HDEL", KEYS[1], "paused_at_ms")
  redis.call("HSET", KEYS[1], "cursor_ms", now)
end
redis.call("HINCRBY", KEYS[1], "version", 1)
redis.call("ZADD", KEYS[2], now, ARGV[2])
return 1
`;

/** Stops or restarts a schedule; jobs that it made go on. Safe to repeat. @returns it; undefined when there is none */
export async function pauseSchedule(
  room: QueueRoom,
  ref: ScheduleRef,
  wish: "pause" | "resume",
): Promise<ScheduleState | undefined> {
  const keys = [room.names.schedule(ref.tenant, ref.name), room.names.schedulesDue];
  const change = async () => {
    if (!(await room.redis.eval(PAUSE, keys.length, ...keys, wish, scheduleMember(ref)))) return undefined;
    await ringSchedule(room, ref);
    return readSchedule(room, ref);
  };
  return orUnavailable(`a schedule was ${wish}d`, change());
}

const DELETE = `
local known = redis.call("HMGET", KEYS[1], "id", "assets")
if known[1] ~= ARGV[1] then return 0 end
local t = redis.call("TIME")
for asset in string.gmatch(known[2] or "", "%S+") do
  if redis.call("HINCRBY", KEYS[5], asset, -1) <= 0 then redis.call("HDEL", KEYS[5], asset) end
  redis.call("ZADD", KEYS[4], t[1] * 1000 + math.floor(t[2] / 1000), asset)
end
redis.call("ZREM", KEYS[2], ARGV[2])
redis.call("ZREM", KEYS[3], ARGV[3])
redis.call("DEL", KEYS[1], KEYS[6], KEYS[7], KEYS[8])
return 1
`;

/** Forgets a schedule and its history. Its jobs stay as they are. @returns false when there is none */
export async function deleteSchedule(room: QueueRoom, ref: ScheduleRef): Promise<boolean> {
  const { names, redis } = room;
  const forget = async () => {
    const state = await readSchedule(room, ref);
    if (!state) return false;
    const lists = [names.scheduleNames(ref.tenant), names.schedulesDue, names.assets, names.assetJobs];
    const own = [names.scheduleTicks(state.id), names.scheduleTickIndex(state.id), names.scheduleOpen(state.id)];
    const keys = [names.schedule(ref.tenant, ref.name), ...lists, ...own];
    await redis.eval(DELETE, keys.length, ...keys, state.id, ref.name, scheduleMember(ref));
    await dropAlarm(room, state.id); // one that is left rings for nothing, and is taken away by whoever hears it
    return true;
  };
  return orUnavailable("a schedule was deleted", forget());
}
