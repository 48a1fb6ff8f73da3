import { toMoment } from "@comfyq/contract";
import {
  type Gap,
  nextMoment,
  type PendingTick,
  readMomentRule,
  type ScheduleState,
  type Settings,
} from "@comfyq/queue";

/** What a history says of a tick that has been decided a moment ago. */
export const BEING_MADE = "Its job is being made";

interface Waiting {
  readonly pending: PendingTick;
  readonly nowMs: number;
  /** How long any tick waits, whatever its schedule's policy. */
  readonly patienceMs: number;
}

/**
 * Pure: does a tick for whose job there is no room wait on? Everybody's for a while. Then the policy decides, as it does about moments
 * that passed while no dispatcher ran: `none` gives it up, `last` does as soon as there is a newer one, `all` does not.
 */
export function mayWait({ rule, createdAtMs }: ScheduleState, { pending, nowMs, patienceMs }: Waiting): boolean {
  if (nowMs - pending.decidedAtMs < patienceMs) return true;
  switch (rule.catch_up) {
    case "none":
      return false;
    case "last":
      return (nextMoment(readMomentRule(rule, createdAtMs), pending.tickAtMs) ?? Number.POSITIVE_INFINITY) > nowMs;
    case "all":
      return true;
    default:
      return rule.catch_up satisfies never;
  }
}

/** Pure: when to look again whether there is room, in ms: a thousand ticks that wait for hours must keep nobody busy. */
export function nextLookMs(waitedMs: number, { tickRecheckMs, longestTickRecheckMs }: Settings): number {
  return Math.min(longestTickRecheckMs, Math.max(tickRecheckMs, waitedMs / 10));
}

/** Why the job of a tick came late; nothing when it did not wait for room. */
export function waitedFor({ lastTick }: ScheduleState, atMs: number): { readonly reason?: string } {
  if (lastTick?.outcome !== "waiting" || lastTick.tick_at !== toMoment(atMs)) return {};
  return lastTick.reason === null || lastTick.reason === BEING_MADE ? {} : { reason: `It waited: ${lastTick.reason}` };
}

/** Why moments passed, if that was because the tick before them waited; undefined when it did not. */
export function passedWhileWaiting({ lastTick }: ScheduleState, { oldestMs }: Gap): string | undefined {
  if (lastTick?.trigger !== "rule" || lastTick.reason === null) return undefined;
  const isOver = lastTick.outcome === "job" || lastTick.outcome === "missed";
  if (!isOver || Date.parse(lastTick.decided_at) <= oldestMs) return undefined;
  return `Until ${lastTick.decided_at} the tick of ${lastTick.tick_at} was not over: ${lastTick.reason}`;
}
