import { ScheduleName, Tenant } from "@comfyq/contract";
import * as z from "zod";
import { redisNowMs } from "../redisClock.ts";
import type { QueueRoom } from "../room.ts";
import type { Settled } from "../settled.ts";
import { alarmOptions } from "./nextAlarm.ts";
import { readSchedule, refOf, type ScheduleRef, type ScheduleState, scheduleMember } from "./scheduleState.ts";

/** What stands in a BullJob of the queue `ticks`: a schedule that is to be looked at. What is due, the schedule itself says. */
export const TickAlarm = z.object({ v: z.literal(1), tenant: Tenant, schedule: ScheduleName });
export type TickAlarm = z.infer<typeof TickAlarm>;

function alarmData({ tenant, name }: ScheduleRef): TickAlarm {
  return { v: 1, tenant, schedule: name };
}

/** Has a dispatcher look at a schedule at once. Rung twice before anybody came, it is looked at once. */
export async function ringSchedule(room: QueueRoom, ref: ScheduleRef): Promise<void> {
  await room.ticks.add("ring", alarmData(ref), {
    jobId: `ring.${ref.tenant}.${ref.name}`, // neither has a dot in its name
    attempts: 1, // the sweeper rings again
    removeOnComplete: true,
    removeOnFail: true,
  });
}

/**
 * Sets a schedule's alarm as its newest version wants it, or takes it away: a BullMQ job scheduler under the schedule's id. It
 * is a bell and nothing else: one that rings too often, too early or not at all makes no job more and none less.
 */
export async function setAlarm(room: QueueRoom, state: ScheduleState, isWanted: boolean): Promise<void> {
  if (isWanted ? state.alarmVersion === state.version : state.alarmVersion === 0) return;
  if (isWanted)
    await room.ticks.upsertJobScheduler(state.id, alarmOptions(state), {
      name: "tick",
      data: alarmData(state),
      opts: {
        attempts: 1,
        removeOnComplete: { count: room.settings.ticksKept },
        removeOnFail: { count: room.settings.ticksKept },
      },
    });
  else await dropAlarm(room, state.id);
  await room.redis.eval(
    NOTE_ALARM,
    1,
    room.names.schedule(state.tenant, state.name),
    state.id,
    isWanted ? state.version : 0,
  );
}

const NOTE_ALARM = `
if redis.call("HGET", KEYS[1], "id") ~= ARGV[1] then return 0 end
redis.call("HSET", KEYS[1], "alarm_version", ARGV[2])
return 1
`;

/** Takes the alarm of a schedule away that is no more. */
export async function dropAlarm(room: QueueRoom, scheduleId: string): Promise<void> {
  await room.ticks.removeJobScheduler(scheduleId);
}

/**
 * Rings for schedules whose moment came and whose alarm did not: a crash, a clock that jumped, a Redis that was away.
 * @returns how many
 */
export async function sweepSchedules(room: QueueRoom): Promise<number> {
  const { redis, names, settings } = room;
  const beforeMs = (await redisNowMs(redis)) - settings.scheduleSlackMs;
  const due = await redis.zrange(
    names.schedulesDue,
    "-inf",
    String(beforeMs),
    "BYSCORE",
    "LIMIT",
    0,
    settings.sweepBatch,
  );
  for (const member of due) await ringSchedule(room, refOf(member));
  return due.length;
}

/** Says when a schedule is to be looked at again; undefined: not before it changes. Nothing, when it has changed already. */
export async function lookAgain(room: QueueRoom, state: ScheduleState, atMs: number | undefined): Promise<boolean> {
  const { names, redis } = room;
  const keys = [names.schedule(state.tenant, state.name), names.schedulesDue];
  const values = [state.id, state.version, scheduleMember(state), atMs ?? ""];
  return (await redis.eval(LOOK_AGAIN, keys.length, ...keys, ...values)) === 1;
}

const LOOK_AGAIN = `
local known = redis.call("HMGET", KEYS[1], "id", "version")
if known[1] ~= ARGV[1] or known[2] ~= ARGV[2] then return 0 end
if ARGV[4] == "" then redis.call("ZREM", KEYS[2], ARGV[3]) else redis.call("ZADD", KEYS[2], ARGV[4], ARGV[3]) end
return 1
`;

/** The end of a job: if a schedule made it, that may have a tick which waits for it. Safe to repeat. */
export async function noteScheduledEnd(room: QueueRoom, { tenant, jobId, record }: Settled): Promise<void> {
  const schedule = record?.head.schedule;
  if (!schedule) return;
  const ref = { tenant, name: schedule.name };
  const state = await readSchedule(room, ref);
  if (!state) return;
  await room.redis.srem(room.names.scheduleOpen(state.id), jobId);
  if (state.heldMs !== undefined) await ringSchedule(room, ref);
}
