import { Tick } from "@comfyq/contract";
import { orUnavailable } from "../errors.ts";
import { readJson } from "../readAttempt.ts";
import type { QueueRoom } from "../room.ts";
import { readSchedule, type ScheduleState } from "./scheduleState.ts";

export interface SchedulesPage {
  readonly schedules: readonly ScheduleState[];
  readonly nextCursor: string | undefined;
}

/** One page of a tenant's schedules, by name. @param after the last name of the page before */
export async function listSchedules(
  room: QueueRoom,
  tenant: string,
  { after, limit }: { readonly after: string | undefined; readonly limit: number },
): Promise<SchedulesPage> {
  const read = async () => {
    const from = after === undefined ? "-" : `(${after}`;
    const found = await room.redis.zrangebylex(room.names.scheduleNames(tenant), from, "+", "LIMIT", 0, limit + 1);
    const shown = found.slice(0, limit);
    const states = await Promise.all(shown.map((name) => readSchedule(room, { tenant, name })));
    const schedules = states.filter((state) => state !== undefined); // one may be gone meanwhile
    return { schedules, nextCursor: found.length > limit ? shown.at(-1) : undefined };
  };
  return orUnavailable("schedules were listed", read());
}

export interface TicksPage {
  readonly ticks: readonly Tick[];
  readonly nextCursor: string | undefined;
}

/** One page of a schedule's history, newest moment first. @param before the cursor of the page before */
export async function listTicks(
  room: QueueRoom,
  { id }: Pick<ScheduleState, "id">,
  { before, limit }: { readonly before: string | undefined; readonly limit: number },
): Promise<TicksPage> {
  const { names, redis } = room;
  const read = async () => {
    const index = names.scheduleTickIndex(id);
    const place = before === undefined ? null : await redis.zrevrank(index, before);
    const from = place === null ? 0 : place + 1;
    const keys = await redis.zrevrange(index, from, from + limit);
    const shown = keys.slice(0, limit);
    const texts = shown.length === 0 ? [] : await redis.hmget(names.scheduleTicks(id), ...shown);
    const ticks = texts.flatMap((text) => (text ? (Tick.safeParse(readJson(text)).data ?? []) : []));
    return { ticks, nextCursor: keys.length > limit ? shown.at(-1) : undefined };
  };
  return orUnavailable("ticks were listed", read());
}

/** Jobs of a schedule that are not known to have ended, as they were noted. */
export async function notedJobs({ redis, names }: QueueRoom, id: string): Promise<readonly string[]> {
  return redis.smembers(names.scheduleOpen(id));
}

/** How long the schedule that has waited longest is past its moment, in ms; 0: none is. */
export async function overdueMs({ redis, names }: QueueRoom, nowMs: number): Promise<number> {
  const [, score] = await redis.zrangebyscore(names.schedulesDue, "-inf", "+inf", "WITHSCORES", "LIMIT", 0, 1);
  return score === undefined ? 0 : Math.max(0, nowMs - Number(score));
}
