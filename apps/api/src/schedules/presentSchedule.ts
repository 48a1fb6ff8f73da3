import { SCHEDULE_LIMITS, type ScheduleSummary, toMoment } from "@comfyq/contract";
import type { ScheduleState } from "@comfyq/queue";
import type { Rooms } from "../rooms.ts";
import type { Call } from "../route.ts";

/** The schedule as its owner sees it, without its template. */
export async function presentSchedule(rooms: Rooms, call: Call, state: ScheduleState): Promise<ScheduleSummary> {
  const { schedules } = rooms.producer;
  const [next, openJobs] = await Promise.all([
    schedules.next(state, SCHEDULE_LIMITS.nextShown),
    schedules.openJobs(state),
  ]);
  const { id, name, rule, pausedAtMs, fired, failures, lastTick } = state;
  const self = `${call.baseUrl}/v1/schedules/${name}`;
  const isUnfinished = state.pending !== undefined || state.heldMs !== undefined;
  return {
    id,
    name,
    ...rule,
    state: pausedAtMs !== undefined ? "paused" : next.length === 0 && !isUnfinished ? "over" : "active",
    created_at: toMoment(state.createdAtMs),
    updated_at: toMoment(state.updatedAtMs),
    paused_at: pausedAtMs === undefined ? null : toMoment(pausedAtMs),
    fired,
    consecutive_failures: failures,
    open_jobs: [...openJobs],
    last_tick: lastTick ?? null,
    next_at: next.map(toMoment),
    urls: { self, ticks: `${self}/ticks`, run: `${self}/run` },
  };
}
