import { parseCron } from "@comfyq/contract";
import type { RepeatOptions } from "bullmq";
import { nextMoment } from "./moments.ts";
import type { ScheduleState } from "./scheduleState.ts";

/** How a schedule's rule is written for BullMQ's job scheduler, and for whoever looks at it in Bull Board. */
export function alarmOptions({ rule, createdAtMs }: ScheduleState): Omit<RepeatOptions, "key"> {
  const { cron, every_s, start_at, end_at, time_zone } = rule;
  const anchorMs = start_at === undefined ? createdAtMs : Date.parse(start_at);
  return {
    pattern: cron ?? `@every ${every_s}s from ${anchorMs}`,
    tz: time_zone,
    ...(start_at !== undefined && { startDate: Date.parse(start_at) }),
    ...(end_at !== undefined && { endDate: Date.parse(end_at) }),
  };
}

/**
 * BullMQ's repeat strategy: when the alarm rings next. Its own one (cron-parser 5.10) leaves out moments where clocks are set by
 * half an hour, or at midnight; this one names the moments that the dispatcher then decides about.
 */
export function nextAlarm(
  afterMs: number,
  { pattern = "", tz, startDate, endDate }: RepeatOptions,
): number | undefined {
  const [, seconds, anchor] = /^@every (\d+)s from (\d+)$/.exec(pattern) ?? [];
  const rule = {
    cron: seconds === undefined ? parseCron(pattern) : undefined,
    everyMs: seconds === undefined ? undefined : Number(seconds) * 1_000,
    anchorMs: Number(anchor ?? 0),
    zone: tz ?? "UTC",
    startMs: startDate === undefined ? undefined : Number(startDate),
    endMs: endDate === undefined ? undefined : Number(endDate),
  };
  return nextMoment(rule, afterMs);
}
