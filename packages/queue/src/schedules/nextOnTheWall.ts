import type { CronFields } from "@comfyq/contract";

/** A 29 February can be eight years away (2096 to 2104); what is not there by then does not exist. */
const HORIZON_MS = 8.1 * 366 * 86_400_000;

/**
 * The first time at or after `fromMs` that the fields name, as a clock on the wall shows it: both are written as if the wall
 * stood in UTC. Undefined when there is none, such as 30 February.
 */
export function nextOnTheWall(fields: CronFields, fromMs: number): number | undefined {
  let at = new Date(Math.ceil(fromMs / 1_000) * 1_000);
  const endMs = fromMs + HORIZON_MS;
  while (at.getTime() <= endMs) {
    const [year, month, day] = [at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate()];
    if (!fields.months.includes(month + 1)) at = new Date(Date.UTC(year, month + 1, 1));
    else if (!hasDay(fields, at)) at = new Date(Date.UTC(year, month, day + 1));
    else {
      const timeMs = nextOfDay(fields, at);
      if (timeMs !== undefined) return Date.UTC(year, month, day) + timeMs;
      at = new Date(Date.UTC(year, month, day + 1));
    }
  }
  return undefined;
}

/** Cron's old rule: a day of the month and a day of the week that are both named are either of them. */
function hasDay(fields: CronFields, at: Date): boolean {
  const isWeekday = fields.weekdays.includes(at.getUTCDay());
  if (!fields.namesDays) return isWeekday;
  const isDay = fields.days.includes(at.getUTCDate()) || (fields.lastDay && isLastOfMonth(at));
  return fields.namesWeekdays ? isDay || isWeekday : isDay;
}

function isLastOfMonth(at: Date): boolean {
  return new Date(at.getTime() + 86_400_000).getUTCDate() === 1;
}

/** @returns ms since midnight */
function nextOfDay({ hours, minutes, seconds }: CronFields, at: Date): number | undefined {
  const [hour, minute, second] = [at.getUTCHours(), at.getUTCMinutes(), at.getUTCSeconds()];
  const [firstMinute = 0, firstSecond = 0] = [minutes[0], seconds[0]];
  const time = (h: number, m: number, s: number) => ((h * 60 + m) * 60 + s) * 1_000;
  if (hours.includes(hour)) {
    const laterSecond = minutes.includes(minute) ? seconds.find((each) => each >= second) : undefined;
    if (laterSecond !== undefined) return time(hour, minute, laterSecond);
    const laterMinute = minutes.find((each) => each > minute);
    if (laterMinute !== undefined) return time(hour, laterMinute, firstSecond);
  }
  const laterHour = hours.find((each) => each > hour);
  return laterHour === undefined ? undefined : time(laterHour, firstMinute, firstSecond);
}
