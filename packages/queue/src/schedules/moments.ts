import { type CronFields, parseCron, type ScheduleRule } from "@comfyq/contract";
import { nextOnTheWall } from "./nextOnTheWall.ts";
import { changeBetween, offsetAt } from "./zoneClock.ts";

/** A rule, read: enough to name its moments. */
export interface MomentRule {
  readonly cron: CronFields | undefined;
  readonly everyMs: number | undefined;
  /** From where an interval counts. */
  readonly anchorMs: number;
  readonly zone: string;
  readonly startMs: number | undefined;
  readonly endMs: number | undefined;
}

/** @param createdAtMs from where an interval without start_at counts: its first moment is one interval later */
export function readMomentRule(rule: ScheduleRule, createdAtMs: number): MomentRule {
  const startMs = rule.start_at === undefined ? undefined : Date.parse(rule.start_at);
  return {
    cron: rule.cron === undefined ? undefined : parseCron(rule.cron),
    everyMs: rule.every_s === undefined ? undefined : rule.every_s * 1_000,
    anchorMs: startMs ?? createdAtMs,
    zone: rule.time_zone,
    startMs,
    endMs: rule.end_at === undefined ? undefined : Date.parse(rule.end_at),
  };
}

/**
 * The first moment of the rule after `afterMs`; undefined when there is none left. When clocks are set, a time that a rule
 * names by its hour fires once a day: what does not exist fires so much later as the clock was put forward, and what exists
 * twice fires the first time. A rule for every hour keeps its pace instead.
 */
export function nextMoment(rule: MomentRule, afterMs: number): number | undefined {
  const fromMs = Math.max(afterMs, (rule.startMs ?? Number.NEGATIVE_INFINITY) - 1);
  const atMs = rule.everyMs === undefined ? nextOfCron(rule, fromMs) : nextOfInterval(rule, rule.everyMs, fromMs);
  return atMs === undefined || (rule.endMs !== undefined && atMs > rule.endMs) ? undefined : atMs;
}

function nextOfInterval({ anchorMs, startMs }: MomentRule, everyMs: number, afterMs: number): number {
  const first = startMs === undefined ? 1 : 0;
  return anchorMs + Math.max(first, Math.floor((afterMs - anchorMs) / everyMs) + 1) * everyMs;
}

/** Longest that a zone ever put its clocks forward or back: Samoa left out a day. */
const LARGEST_CHANGE_MS = 86_400_000;

function nextOfCron({ cron, zone }: MomentRule, afterMs: number): number | undefined {
  if (!cron) return undefined;
  let fromMs = Math.floor(afterMs / 1_000) * 1_000 + 1_000;
  for (;;) {
    const atMs = nextInStretch(cron, zone, fromMs);
    if (atMs === undefined) return undefined;
    const changeMs = changeBetween(zone, fromMs, atMs);
    if (changeMs === undefined) return atMs;
    fromMs = changeMs; // the clocks are set before that: what the wall shows from there on counts
  }
}

/** The next moment if no clock were set any more. */
function nextInStretch(cron: CronFields, zone: string, fromMs: number): number | undefined {
  const offset = offsetAt(zone, fromMs);
  const nextAt = (ms: number, wallOffset: number) => {
    const wall = nextOnTheWall(cron, ms + wallOffset);
    return wall === undefined ? undefined : wall - wallOffset;
  };
  const setAtMs = cron.everyHour ? undefined : changeBetween(zone, fromMs - LARGEST_CHANGE_MS, fromMs);
  if (setAtMs === undefined) return nextAt(fromMs, offset);
  const before = offsetAt(zone, setAtMs - 1_000);
  // Put back: for a while the wall shows what it has shown before.
  if (before > offset) return nextAt(Math.max(fromMs, setAtMs + before - offset), offset);
  // Put forward: what was left out comes by the old offset, beside what the wall shows.
  const leftOut = nextAt(fromMs, before);
  const shown = nextAt(fromMs, offset);
  const isLeftOut = leftOut !== undefined && leftOut < setAtMs + offset - before;
  return isLeftOut && (shown === undefined || leftOut < shown) ? leftOut : shown;
}

/** The first `most` moments after `afterMs`, up to and with `toMs`. */
export function momentsBetween(rule: MomentRule, afterMs: number, toMs: number, most: number): readonly number[] {
  const moments: number[] = [];
  for (let at = nextMoment(rule, afterMs); at !== undefined && at <= toMs; at = nextMoment(rule, at)) {
    if (moments.length >= most) break; // a limit below what has fired leaves less than none
    moments.push(at);
  }
  return moments;
}

/** How many moments there are after `afterMs`, up to and with `toMs`; no further than `most` is counted. */
export function countMoments(rule: MomentRule, afterMs: number, toMs: number, most: number): number {
  const first = nextMoment(rule, afterMs);
  if (first === undefined || first > toMs) return 0;
  if (rule.everyMs === undefined) return momentsBetween(rule, afterMs, toMs, most).length;
  return Math.min(most, Math.floor((Math.min(toMs, rule.endMs ?? toMs) - first) / rule.everyMs) + 1);
}

/** The newest `most` moments after `afterMs`, up to and with `toMs`, oldest first; however many there were before them. */
export function newestMoments(rule: MomentRule, afterMs: number, toMs: number, most: number): readonly number[] {
  if (most === 0) return [];
  for (let spanMs = 1_000 * most; ; spanMs *= 4) {
    const fromMs = Math.max(afterMs, toMs - spanMs);
    const found = momentsBetween(rule, fromMs, toMs, Number.POSITIVE_INFINITY);
    if (found.length >= most || fromMs === afterMs) return found.slice(-most);
  }
}
