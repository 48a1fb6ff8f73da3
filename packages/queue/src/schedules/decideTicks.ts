import type { CatchUpPolicy } from "@comfyq/contract";
import { countMoments, type MomentRule, momentsBetween, newestMoments, nextMoment } from "./moments.ts";

/** What is known of a schedule when somebody looks at it. */
export interface TickQuestion {
  readonly rule: MomentRule;
  /** Everything up to this moment has been decided. */
  readonly cursorMs: number;
  /** On Redis's clock. */
  readonly nowMs: number;
  /** A moment that is older than this was missed, unless the policy makes up for it. */
  readonly graceMs: number;
  readonly catchUp: CatchUpPolicy;
  readonly catchUpMax: number;
  /** Ticks that may still fire; undefined: any number. */
  readonly left: number | undefined;
}

/** Moments that pass unfired, beside each other. */
export interface Gap {
  readonly oldestMs: number;
  readonly newestMs: number;
  /** How many; no further than `COUNTED` is counted. */
  readonly count: number;
}

export interface TickPlan {
  /** First of all. */
  readonly missed: Gap | undefined;
  /** The next to fire, after what was missed; undefined: none is due. */
  readonly fireMs: number | undefined;
  /** The first moment that is not due yet; undefined: there is none. */
  readonly nextMs: number | undefined;
}

/** Nobody needs to know more exactly how much a long downtime cost. */
export const COUNTED = 10_000;

/** Which moments of a schedule pass, and which one fires next. Pure; asked again after each. */
export function decideTicks(question: TickQuestion): TickPlan {
  const { rule, cursorMs, nowMs, graceMs, left } = question;
  if (left !== undefined && left <= 0) return { missed: undefined, fireMs: undefined, nextMs: undefined };
  const lateToMs = nowMs - graceMs;
  const nextMs = nextMoment(rule, Math.max(nowMs, cursorMs));
  const [madeUp] = lateToMs > cursorMs ? newestMoments(rule, cursorMs, lateToMs, makesUp(question)) : [];
  const [onTime] = momentsBetween(rule, Math.max(cursorMs, lateToMs), nowMs, 1);
  const missed =
    lateToMs > cursorMs ? gapBetween(rule, cursorMs, madeUp === undefined ? lateToMs : madeUp - 1) : undefined;
  return { missed, fireMs: madeUp ?? onTime, nextMs };
}

/** How many late moments still fire. */
function makesUp({ catchUp, catchUpMax }: TickQuestion): number {
  switch (catchUp) {
    case "none":
      return 0;
    case "last":
      return 1;
    case "all":
      return catchUpMax;
    default:
      return catchUp satisfies never;
  }
}

function gapBetween(rule: MomentRule, afterMs: number, toMs: number): Gap | undefined {
  const oldestMs = nextMoment(rule, afterMs);
  if (oldestMs === undefined || oldestMs > toMs) return undefined;
  const [newestMs = oldestMs] = newestMoments(rule, afterMs, toMs, 1);
  return { oldestMs, newestMs, count: countMoments(rule, afterMs, toMs, COUNTED) };
}
