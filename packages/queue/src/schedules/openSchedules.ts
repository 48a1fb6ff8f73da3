import { orUnavailable } from "../errors.ts";
import { redisNowMs } from "../redisClock.ts";
import type { QueueRoom } from "../room.ts";
import { deleteSchedule, pauseSchedule } from "./changeSchedule.ts";
import { listSchedules, listTicks, notedJobs, overdueMs, type SchedulesPage, type TicksPage } from "./listSchedules.ts";
import { momentsBetween, readMomentRule } from "./moments.ts";
import { putSchedule, type SchedulePapers } from "./putSchedule.ts";
import {
  readSchedule,
  readTemplate,
  type ScheduleRef,
  type ScheduleState,
  type ScheduleTemplate,
} from "./scheduleState.ts";
import { type Remark, remarkTick } from "./tickScripts.ts";

/** Which part of a list. */
interface PageWish {
  readonly cursor: string | undefined;
  readonly limit: number;
}

/** Schedules as the API uses them. Everything throws QueueError `unavailable` when Redis does not answer. */
export interface Schedules {
  put(papers: SchedulePapers): Promise<"new" | "changed" | "same">;
  read(ref: ScheduleRef): Promise<ScheduleState | undefined>;
  template(ref: ScheduleRef): Promise<ScheduleTemplate | undefined>;
  list(tenant: string, page: PageWish): Promise<SchedulesPage>;
  ticks(state: ScheduleState, page: PageWish): Promise<TicksPage>;
  pause(ref: ScheduleRef): Promise<ScheduleState | undefined>;
  resume(ref: ScheduleRef): Promise<ScheduleState | undefined>;
  delete(ref: ScheduleRef): Promise<boolean>;
  /** Notes a job that was made out of turn. */
  noteRun(state: ScheduleState, remark: Remark): Promise<void>;
  /** The next moments, Unix ms; none while it is paused, or when its limit is reached. */
  next(state: ScheduleState, most: number): Promise<readonly number[]>;
  openJobs(state: ScheduleState): Promise<readonly string[]>;
  /** How long the schedule that has waited longest is past its moment, in ms; 0: none is. */
  overdueMs(): Promise<number>;
}

export function openSchedules(room: QueueRoom): Schedules {
  const read = <T>(work: Promise<T>) => orUnavailable("schedules were read", work);
  return {
    put: (papers) => putSchedule(room, papers),
    read: (ref) => read(readSchedule(room, ref)),
    template: (ref) => read(readTemplate(room, ref)),
    list: (tenant, { cursor, limit }) => listSchedules(room, tenant, { after: cursor, limit }),
    ticks: (state, { cursor, limit }) => listTicks(room, state, { before: cursor, limit }),
    pause: (ref) => pauseSchedule(room, ref, "pause"),
    resume: (ref) => pauseSchedule(room, ref, "resume"),
    delete: (ref) => deleteSchedule(room, ref),
    noteRun: (state, remark) => orUnavailable("a run was noted", remarkTick(room, state, remark)),
    next: (state, most) => read(nextOf(room, state, most)),
    openJobs: ({ id }) => read(notedJobs(room, id)),
    overdueMs: async () => read(redisNowMs(room.redis).then((nowMs) => overdueMs(room, nowMs))),
  };
}

async function nextOf(room: QueueRoom, state: ScheduleState, most: number): Promise<readonly number[]> {
  const { rule, createdAtMs, cursorMs, fired, pausedAtMs } = state;
  if (pausedAtMs !== undefined) return [];
  const left = rule.limit === undefined ? most : Math.max(0, Math.min(most, rule.limit - fired));
  const afterMs = Math.max(cursorMs, await redisNowMs(room.redis));
  return momentsBetween(readMomentRule(rule, createdAtMs), afterMs, Number.POSITIVE_INFINITY, left);
}
