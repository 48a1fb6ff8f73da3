import type { TickOutcome } from "@comfyq/contract";
import {
  decideTick,
  decideTicks,
  type Gap,
  lookAgain,
  newsTold,
  openJobsOf,
  type PendingTick,
  type QueueRoom,
  readMomentRule,
  readSchedule,
  redisNowMs,
  type ScheduleRef,
  type ScheduleState,
  setAlarm,
} from "@comfyq/queue";
import { failPoint } from "@comfyq/runtime";
import { executeTick } from "./executeTick.ts";
import { tellMissed } from "./tellMissed.ts";
import { tickEntry } from "./tickEntry.ts";
import { BEING_MADE, nextLookMs, passedWhileWaiting } from "./waitForRoom.ts";

/** What came of a tick, for the log and the metrics. */
interface TickNote {
  readonly outcome: TickOutcome;
  readonly lagMs: number;
  readonly count?: number;
}

export interface TickTools {
  note(state: ScheduleState, note: TickNote): void;
}

/**
 * Brings a schedule up to date: what was begun is ended, then each moment that is due is decided once and its job made. Whoever
 * is killed meanwhile is followed by another at the next alarm, who finds what was decided. Safe to call at any time, and by
 * several at once: nothing is due twice.
 */
export async function tickSchedule(room: QueueRoom, ref: ScheduleRef, tools: TickTools): Promise<void> {
  for (;;) {
    const state = await readSchedule(room, ref);
    if (!state || (await takeStep(room, state, tools)) === "rest") return;
  }
}

type Next = "again" | "rest";

async function takeStep(room: QueueRoom, state: ScheduleState, tools: TickTools): Promise<Next> {
  if (state.news) {
    await tellMissed(room, state, state.news);
    await failPoint("missed_told", { schedule: state.name, tick: state.news.newestMs });
    await newsTold(room, state);
    return "again";
  }
  const { pending } = state;
  if (pending) {
    if ((await executeTick(room, state, { pending, tools })) === "ended") return "again";
    const nowMs = await redisNowMs(room.redis);
    const atMs = nowMs + nextLookMs(nowMs - pending.decidedAtMs, room.settings);
    return rest(room, state, { atMs, isAlive: true });
  }
  if (state.pausedAtMs !== undefined) return rest(room, state, { atMs: undefined, isAlive: false });
  if (state.heldMs !== undefined && (await openJobsOf(room, state)).length === 0)
    return release(room, state, state.heldMs);
  return fireNext(room, state, tools);
}

/** Waits for the next moment. @returns "again" when the schedule has changed meanwhile */
async function rest(
  room: QueueRoom,
  state: ScheduleState,
  { atMs, isAlive }: { readonly atMs: number | undefined; readonly isAlive: boolean },
): Promise<Next> {
  await setAlarm(room, state, isAlive);
  return (await lookAgain(room, state, atMs)) ? "rest" : "again";
}

async function fireNext(room: QueueRoom, state: ScheduleState, tools: TickTools): Promise<Next> {
  const { rule, fired, heldMs, cursorMs, createdAtMs } = state;
  const nowMs = await redisNowMs(room.redis);
  const plan = decideTicks({
    rule: readMomentRule(rule, createdAtMs),
    cursorMs,
    nowMs,
    graceMs: room.settings.tickGraceMs,
    catchUp: rule.catch_up,
    catchUpMax: rule.catch_up_max,
    left: rule.limit === undefined ? undefined : rule.limit - fired - (heldMs === undefined ? 0 : 1),
  });
  if (plan.missed) return pass(room, state, { gap: plan.missed, nowMs, tools });
  if (plan.fireMs !== undefined) {
    await failPoint("tick_due", { schedule: state.name, tick: plan.fireMs });
    return decide(room, state, { atMs: plan.fireMs, nowMs, tools });
  }
  const recheckMs = heldMs === undefined ? Number.POSITIVE_INFINITY : nowMs + room.settings.tickRecheckMs;
  const atMs = Math.min(plan.nextMs ?? Number.POSITIVE_INFINITY, recheckMs);
  return rest(room, state, { atMs: Number.isFinite(atMs) ? atMs : undefined, isAlive: plan.nextMs !== undefined });
}

interface Passing {
  readonly gap: Gap;
  readonly nowMs: number;
  readonly tools: TickTools;
}

/** Moments that nobody came to, and that the policy does not make up for. */
async function pass(room: QueueRoom, state: ScheduleState, { gap, nowMs, tools }: Passing): Promise<Next> {
  const { count, newestMs } = gap;
  const nobody = `No dispatcher came to it within ${Math.round(room.settings.tickGraceMs / 1_000)} s`;
  const reason = `${passedWhileWaiting(state, gap) ?? nobody}; catch_up is ${state.rule.catch_up}`;
  const entry = tickEntry({ atMs: newestMs, decidedAtMs: nowMs, outcome: "missed", count, reason });
  const news = { ...gap, reason, atMs: nowMs };
  const decision = { entry, cursorMs: newestMs, heldMs: state.heldMs, pending: undefined, news };
  if (await decideTick(room, state, decision)) tools.note(state, { outcome: "missed", lagMs: nowMs - newestMs, count });
  return "again";
}

interface Firing {
  readonly atMs: number;
  readonly nowMs: number;
  readonly tools: TickTools;
}

/** One moment, by the schedule's overlap policy. Its job is made in the next step. */
async function decide(room: QueueRoom, state: ScheduleState, { atMs, nowMs, tools }: Firing): Promise<Next> {
  const { overlap } = state.rule;
  const open = overlap === "allow" ? [] : await openJobsOf(room, state);
  // What it waited for has ended just now: who waits is before who comes.
  if (state.heldMs !== undefined && open.length === 0) return release(room, state, state.heldMs);
  const facts = { atMs, decidedAtMs: nowMs };
  const decision = { cursorMs: atMs, heldMs: state.heldMs, pending: undefined, news: undefined };
  if (open.length === 0 || overlap === "cancel_previous") {
    const pending: PendingTick = { tickAtMs: atMs, decidedAtMs: nowMs, count: state.fired + 1, cancels: [...open] };
    const entry = tickEntry({ ...facts, outcome: "waiting", reason: BEING_MADE });
    if (await decideTick(room, state, { ...decision, entry, pending })) await noteDecided(state, atMs);
    return "again";
  }
  const reason = `Job ${open[0]} of this schedule had not ended`;
  const isHeld = overlap === "queue_one" && state.heldMs === undefined;
  const why = overlap === "queue_one" && !isHeld ? `${reason}, and another tick waits for that already` : reason;
  const outcome = isHeld ? ("waiting" as const) : ("skipped" as const);
  const entry = tickEntry({ ...facts, outcome, reason: why });
  if (await decideTick(room, state, { ...decision, entry, heldMs: isHeld ? atMs : state.heldMs }))
    tools.note(state, { outcome, lagMs: nowMs - atMs });
  return "again";
}

/** The job that a tick waited for has ended. */
async function release(room: QueueRoom, state: ScheduleState, heldMs: number): Promise<Next> {
  const nowMs = await redisNowMs(room.redis);
  const pending: PendingTick = { tickAtMs: heldMs, decidedAtMs: nowMs, count: state.fired + 1, cancels: [] };
  const entry = tickEntry({ atMs: heldMs, decidedAtMs: nowMs, outcome: "waiting", reason: BEING_MADE });
  const decision = { entry, cursorMs: state.cursorMs, heldMs: undefined, pending, news: undefined };
  if (await decideTick(room, state, decision)) await noteDecided(state, heldMs);
  return "again";
}

async function noteDecided({ name }: ScheduleState, tick: number): Promise<void> {
  await failPoint("tick_decided", { schedule: name, tick });
}
