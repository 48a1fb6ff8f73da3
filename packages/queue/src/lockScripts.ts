import type { QueueRoom } from "./room.ts";

/** The lock of one job in Redis: BullMQ's key, whose value is our token. */
export interface LockName {
  readonly jobId: string;
  readonly pool: string;
  readonly token: string;
}

/**
 * As BullMQ's extendLock.lua (6.7.0), but with PEXPIRE: its SET is refused by a Redis whose memory is full, and then every
 * running job would lose its lock. Looks for a wish to cancel on the way.
 */
const RENEW = `
if redis.call("GET", KEYS[1]) ~= ARGV[1] then return "refused" end
redis.call("PEXPIRE", KEYS[1], ARGV[2])
redis.call("SREM", KEYS[2], ARGV[3])
if redis.call("HEXISTS", KEYS[3], "cancel_requested_at_ms") == 1 then return "canceled" end
return "granted"
`;

/** The journal is written by who holds the lock, and by nobody else. */
const WRITE_JOURNAL = `
if redis.call("GET", KEYS[1]) ~= ARGV[1] then return 0 end
redis.call("HSET", KEYS[2], ARGV[2], ARGV[3])
return 1
`;

/** A ghost's last word stands in its own page only, and nowhere when the job has been swept. */
const CORRECT_PAGE = `
if redis.call("EXISTS", KEYS[1]) == 0 then return 0 end
redis.call("HSET", KEYS[2], ARGV[1], ARGV[2])
return 1
`;

/**
 * As BullMQ's moveToActive.lua (6.7.0) does with the job that is next, with this one, wherever it waits. Also in a queue that is
 * paused: no worker has to do anything for it.
 */
const CLAIM_THIS = `
local taken = redis.call("ZREM", KEYS[1], ARGV[1]) + redis.call("ZREM", KEYS[2], ARGV[1]) + redis.call("LREM", KEYS[3], 1, ARGV[1])
if taken == 0 then return 0 end
redis.call("LPUSH", KEYS[4], ARGV[1])
redis.call("SET", KEYS[6], ARGV[2], "PX", ARGV[3])
redis.call("HSET", KEYS[5], "processedOn", ARGV[4], "pb", ARGV[5])
redis.call("HINCRBY", KEYS[5], "ats", 1)
return 1
`;

/** What a worker has learned of a job stands in its record. */
const SET_FIELD = `
if redis.call("GET", KEYS[1]) ~= ARGV[1] then return 0 end
redis.call("HSET", KEYS[2], ARGV[2], ARGV[3])
return 1
`;

const SET_PRIORITY = `
if redis.call("GET", KEYS[1]) ~= ARGV[1] then return 0 end
redis.call("HSET", KEYS[2], "priority", ARGV[2])
return 1
`;

function lockKey({ names }: QueueRoom, { pool, jobId }: LockName): string {
  return names.bull(names.jobsQueue(pool), `${jobId}:lock`);
}

/** @returns `canceled` when it was granted and somebody wants the job canceled */
export async function renewLock(room: QueueRoom, lock: LockName): Promise<"granted" | "canceled" | "refused"> {
  const { redis, names, settings } = room;
  const keys = [lockKey(room, lock), names.bull(names.jobsQueue(lock.pool), "stalled"), names.record(lock.jobId)];
  const answer = await redis.eval(RENEW, keys.length, ...keys, lock.token, Math.round(settings.lockMs), lock.jobId);
  return answer === "granted" || answer === "canceled" ? answer : "refused";
}

/** One field of a job's journal. */
export interface JournalEntry {
  /** The epoch, for an attempt's page; `progressField` for its progress. */
  readonly field: string;
  readonly text: string;
}

/** @returns false when the lock is not ours: then nothing was written */
export async function writeJournal(room: QueueRoom, lock: LockName, { field, text }: JournalEntry): Promise<boolean> {
  const keys = [lockKey(room, lock), room.names.attempts(lock.jobId)];
  return (await room.redis.eval(WRITE_JOURNAL, keys.length, ...keys, lock.token, field, text)) === 1;
}

/** Writes a page without holding the lock: only the one who opened it may do so. */
export async function correctPage(room: QueueRoom, jobId: string, { field, text }: JournalEntry): Promise<void> {
  await room.redis.eval(CORRECT_PAGE, 2, room.names.record(jobId), room.names.attempts(jobId), field, text);
}

/**
 * Sets where BullMQ puts the job the next time it waits: 0 goes before all priorities.
 * @returns false when the lock is not ours
 */
export async function setPriority(room: QueueRoom, lock: LockName, bullPriority: number): Promise<boolean> {
  const bullKey = room.names.bull(room.names.jobsQueue(lock.pool), lock.jobId);
  return (await room.redis.eval(SET_PRIORITY, 2, lockKey(room, lock), bullKey, lock.token, bullPriority)) === 1;
}

/** Takes this very job out of its queue and locks it. @returns false when it does not wait */
export async function claimThis(
  { redis, names, settings }: QueueRoom,
  { jobId, pool, token }: LockName,
  by: { readonly name: string; readonly nowMs: number },
): Promise<boolean> {
  const parts = ["prioritized", "delayed", "wait", "active", jobId, `${jobId}:lock`];
  const keys = parts.map((part) => names.bull(names.jobsQueue(pool), part));
  const values = [jobId, token, Math.round(settings.lockMs), by.nowMs, by.name];
  return (await redis.eval(CLAIM_THIS, keys.length, ...keys, ...values)) === 1;
}

/** Notes what a worker that had fetched its inputs found the job to be about. @returns false when the lock is not ours */
export function setSubject(room: QueueRoom, lock: LockName, subject: string): Promise<boolean> {
  return setField(room, lock, { field: "subject", text: subject });
}

/** Writes a field of the job's record. @returns false when the lock is not ours */
export async function setField(room: QueueRoom, lock: LockName, { field, text }: JournalEntry): Promise<boolean> {
  const keys = [lockKey(room, lock), room.names.record(lock.jobId)];
  return (await room.redis.eval(SET_FIELD, keys.length, ...keys, lock.token, field, text)) === 1;
}
