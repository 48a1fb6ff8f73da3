import type { JobEvent } from "@comfyq/contract";
import type { Redis } from "ioredis";
import { IS_OVER } from "./isOver.ts";
import type { Names } from "./names.ts";
import type { QueueRoom } from "./room.ts";

/**
 * Takes a job that nobody holds out of its queue and notes why, in one step. BullMQ's own remove would also take a job that
 * ended a moment ago; this one only takes what waits, so cancel and completion can race and one of them wins. A wish to
 * cancel that came before goes before expiry: there is one reason, for good.
 */
const WITHDRAW = `
local taken = redis.call("ZREM", KEYS[2], ARGV[1]) + redis.call("ZREM", KEYS[3], ARGV[1]) + redis.call("LREM", KEYS[4], 1, ARGV[1])
if taken == 0 then return "not_waiting" end
redis.call("SADD", KEYS[5], ARGV[1])
local became = "canceled"
if redis.call("HEXISTS", KEYS[1], "cancel_requested_at_ms") == 0 then
  redis.call("HSET", KEYS[1], ARGV[2], ARGV[3])
  if ARGV[2] ~= "cancel_requested_at_ms" then became = "expired" end
end
redis.call("HINCRBY", KEYS[6], "ended:" .. became, 1)
return became
`;

/**
 * Notes a wish to cancel a job that has not ended, and shows it in the job's stream in the same step: what ends it is shown
 * after it has ended, and so nothing ever follows a terminal status.
 */
const NOTE_WISH = `${IS_OVER}
if isOver(KEYS[2]) then return "ended" end
if redis.call("HEXISTS", KEYS[1], "expired_at_ms") == 1 then return "ended" end
if redis.call("HSETNX", KEYS[1], "cancel_requested_at_ms", ARGV[1]) == 0 then return "known" end
redis.call("XADD", KEYS[3], "MAXLEN", "~", ARGV[2], "*", "event", ARGV[3])
redis.call("ZADD", KEYS[4], ARGV[1], ARGV[4])
return "noted"
`;

/**
 * Puts waiting jobs before all others, the first id foremost: the right end of \`wait\` is what BullMQ claims next, whatever
 * its priority. A job that does not wait stays where it is.
 */
const MOVE_FIRST = `
local moved = 0
for i = #ARGV, 1, -1 do
  local taken = redis.call("ZREM", KEYS[1], ARGV[i]) + redis.call("ZREM", KEYS[2], ARGV[i]) + redis.call("LREM", KEYS[3], 1, ARGV[i])
  if taken > 0 then
    redis.call("RPUSH", KEYS[3], ARGV[i])
    moved = moved + 1
  end
end
if moved > 0 then redis.call("ZADD", KEYS[4], 0, "0") end
return moved
`;

export type WithdrawReason = "cancel_requested_at_ms" | "expired_at_ms";

/** @returns what the job has become, and nobody has it any more; free its parent next (cancelJob.ts). Undefined: it does not wait */
export async function withdraw(
  redis: Redis,
  names: Names,
  job: { readonly id: string; readonly pool: string; readonly reason: WithdrawReason; readonly atMs: number },
): Promise<"canceled" | "expired" | undefined> {
  const queue = names.jobsQueue(job.pool);
  const keys = [
    names.record(job.id),
    names.bull(queue, "prioritized"),
    names.bull(queue, "delayed"),
    names.bull(queue, "wait"),
    names.withdrawn,
    names.pace(job.pool),
  ];
  const became = await redis.eval(WITHDRAW, keys.length, ...keys, job.id, job.reason, job.atMs);
  return became === "canceled" || became === "expired" ? became : undefined;
}

export interface Wish {
  readonly id: string;
  readonly pool: string;
  readonly atMs: number;
  /** The event that shows it. */
  readonly event: JobEvent;
}

/** Also tells the sweeper to look after the job. @returns false when the job has ended: then nothing was noted */
export async function noteWish({ redis, names, settings }: QueueRoom, wish: Wish): Promise<boolean> {
  const bullKey = names.bull(names.jobsQueue(wish.pool), wish.id);
  const keys = [names.record(wish.id), bullKey, names.events(wish.id), names.expiring];
  const values = [wish.atMs, settings.eventStreamLength, JSON.stringify(wish.event), wish.id];
  return (await redis.eval(NOTE_WISH, keys.length, ...keys, ...values)) !== "ended";
}

/** Moves the waiting ones of these jobs to the very front of their pool, first id foremost. @returns how many waited */
export async function moveFirst(redis: Redis, names: Names, pool: string, jobIds: readonly string[]): Promise<number> {
  const queue = names.jobsQueue(pool);
  const keys = ["prioritized", "delayed", "wait", "marker"].map((key) => names.bull(queue, key));
  return Number(await redis.eval(MOVE_FIRST, keys.length, ...keys, ...jobIds));
}
