import type { Tick } from "@comfyq/contract";
import type * as z from "zod";
import { type NamedScript, namedScript, runNamed } from "../luaScript.ts";
import type { QueueRoom } from "../room.ts";
import { MissedNews, PendingTick, type ScheduleState } from "./scheduleState.ts";

/** Writes one entry of the history, and drops the oldest when there are too many. Entries are called by moment and trigger. */
const NOTE = `
local function note(key, at, entry)
  redis.call("HSET", ticksKey, key, entry)
  redis.call("ZADD", indexKey, at, key)
  local over = redis.call("ZCARD", indexKey) - tonumber(most)
  if over <= 0 then return end
  for _, old in ipairs(redis.call("ZRANGE", indexKey, 0, over - 1)) do redis.call("HDEL", ticksKey, old) end
  redis.call("ZREMRANGEBYRANK", indexKey, 0, over - 1)
end
`;

const KEYS = ["schedule", "ticks", "index", "open"] as const;
const ENTRY = ["id", "most", "key", "at", "entry"] as const;

/**
 * Decides one moment, once: the cursor stands where whoever decided saw it, and nobody has changed the schedule since. The job
 * itself is made afterwards, and again after a crash: \`pending\` says which.
 */
const DECIDE = namedScript(
  { keys: KEYS, values: [...ENTRY, "version", "cursor", "newCursor", "held", "newHeld", "pending", "news"] },
  `${NOTE}
local known = redis.call("HMGET", scheduleKey, "id", "version", "cursor_ms", "pending", "held_ms", "news", "paused_at_ms")
if known[1] ~= id or known[2] ~= version or known[3] ~= cursor or (known[5] or "") ~= held then return "moved" end
if known[4] or known[6] or known[7] then return "moved" end
redis.call("HSET", scheduleKey, "cursor_ms", newCursor)
if newHeld ~= "" then redis.call("HSET", scheduleKey, "held_ms", newHeld) else redis.call("HDEL", scheduleKey, "held_ms") end
if pending ~= "" then
  redis.call("HSET", scheduleKey, "pending", pending)
  redis.call("HINCRBY", scheduleKey, "fired", 1)
end
if news ~= "" then redis.call("HSET", scheduleKey, "news", news) end
note(key, at, entry)
redis.call("HSET", scheduleKey, "last_tick", entry)
return "decided"
`,
);

/** Ends what was decided: only the first who comes with it writes. */
const FINISH = namedScript(
  { keys: KEYS, values: [...ENTRY, "pending", "jobId", "failed", "news"] },
  `${NOTE}
if redis.call("HGET", scheduleKey, "id") ~= id then return "gone" end
if redis.call("HGET", scheduleKey, "pending") ~= pending then return "done" end
redis.call("HDEL", scheduleKey, "pending")
if jobId ~= "" then redis.call("SADD", openKey, jobId) end
if failed == "1" then redis.call("HINCRBY", scheduleKey, "failures", 1) else redis.call("HSET", scheduleKey, "failures", 0) end
if news ~= "" then redis.call("HSET", scheduleKey, "news", news) end
note(key, at, entry)
redis.call("HSET", scheduleKey, "last_tick", entry)
return "finished"
`,
);

/** Writes an entry that decides nothing: of a job that somebody wanted now, or of why a tick still waits. */
const REMARK = namedScript(
  { keys: KEYS, values: [...ENTRY, "jobId", "pending"] },
  `${NOTE}
if redis.call("HGET", scheduleKey, "id") ~= id then return "gone" end
if pending ~= "" and redis.call("HGET", scheduleKey, "pending") ~= pending then return "done" end
if jobId ~= "" then
  if redis.call("HEXISTS", ticksKey, key) == 1 then return "known" end
  redis.call("SADD", openKey, jobId)
end
note(key, at, entry)
redis.call("HSET", scheduleKey, "last_tick", entry)
return "noted"
`,
);

type Known = Pick<ScheduleState, "tenant" | "name" | "id">;

/** What a step writes into the history. */
export interface TickEntry {
  /** The moment, Unix ms. */
  readonly atMs: number;
  /** Which entry it is; the same key writes over it. */
  readonly key: string;
  readonly tick: Tick;
}

/** The key of the entry of one of the rule's moments. */
export function ruleKey(atMs: number): string {
  return `rule:${atMs}`;
}

function entryValues({ settings }: QueueRoom, { id }: Known, { atMs, key, tick }: TickEntry) {
  return { id, most: settings.tickHistoryLength, key, at: atMs, entry: JSON.stringify(tick) };
}

function run<Value extends string>(
  room: QueueRoom,
  { tenant, name, id }: Known,
  script: NamedScript<(typeof KEYS)[number], Value>,
  values: Readonly<Record<Value, string | number>>,
): Promise<unknown> {
  const { names } = room;
  const keys = {
    schedule: names.schedule(tenant, name),
    ticks: names.scheduleTicks(id),
    index: names.scheduleTickIndex(id),
    open: names.scheduleOpen(id),
  };
  return runNamed(room.redis, script, { keys, values });
}

export interface Decision {
  readonly entry: TickEntry;
  /** Where the cursor stands from now on. */
  readonly cursorMs: number;
  readonly heldMs: number | undefined;
  readonly pending: PendingTick | undefined;
  readonly news: MissedNews | undefined;
}

/** @returns false when somebody else was first, or the schedule has changed: look again */
export async function decideTick(room: QueueRoom, state: ScheduleState, decision: Decision): Promise<boolean> {
  const answer = await run(room, state, DECIDE, {
    ...entryValues(room, state, decision.entry),
    version: state.version,
    cursor: state.cursorMs,
    newCursor: decision.cursorMs,
    held: state.heldMs ?? "",
    newHeld: decision.heldMs ?? "",
    pending: textOf(PendingTick, decision.pending),
    news: textOf(MissedNews, decision.news),
  });
  return answer === "decided";
}

export interface Ending {
  readonly entry: TickEntry;
  readonly pending: PendingTick;
  /** The job that was made. */
  readonly jobId: string | undefined;
  readonly news?: MissedNews | undefined;
}

/** @returns false when somebody else was first, or the schedule is gone */
export async function finishTick(room: QueueRoom, state: ScheduleState, ending: Ending): Promise<boolean> {
  const answer = await run(room, state, FINISH, {
    ...entryValues(room, state, ending.entry),
    pending: textOf(PendingTick, ending.pending),
    jobId: ending.jobId ?? "",
    failed: ending.entry.tick.outcome === "failed" ? 1 : 0,
    news: textOf(MissedNews, ending.news),
  });
  return answer === "finished";
}

export interface Remark {
  readonly entry: TickEntry;
  /** A job that was made out of turn. */
  readonly jobId?: string;
  /** What the remark is about: nothing is written when it is over. */
  readonly pending?: PendingTick;
}

export async function remarkTick(room: QueueRoom, state: Known, { entry, jobId, pending }: Remark): Promise<void> {
  const values = { ...entryValues(room, state, entry), jobId: jobId ?? "", pending: textOf(PendingTick, pending) };
  await run(room, state, REMARK, values);
}

/** As it is kept: the order of the fields is the schema's, so that equal things are equal texts. */
function textOf<T>(schema: z.ZodType<T>, value: T | undefined): string {
  return value === undefined ? "" : JSON.stringify(schema.parse(value));
}

/** The news was told; it is told only once more if nobody lived to say so, and by the same id. */
export async function newsTold({ redis, names }: QueueRoom, { tenant, name, id, news }: ScheduleState): Promise<void> {
  if (!news) return;
  await redis.eval(NEWS_TOLD, 1, names.schedule(tenant, name), id, textOf(MissedNews, news));
}

const NEWS_TOLD = `
local known = redis.call("HMGET", KEYS[1], "id", "news")
if known[1] == ARGV[1] and known[2] == ARGV[2] then redis.call("HDEL", KEYS[1], "news") end
return 1
`;
