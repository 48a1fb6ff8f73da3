import { COMFYQ_NAMESPACE, type TickFacts, uuidV5 } from "@comfyq/contract";
import type { PendingTick, ScheduleState } from "@comfyq/queue";
import { sha256Hex } from "@comfyq/runtime";

/** The job of a moment: the same whoever makes it, and however often. */
export function tickJobId({ id }: Pick<ScheduleState, "id">, atMs: number): string {
  return uuidV5(`schedule:${id}:${atMs}`, COMFYQ_NAMESPACE);
}

/** The news of a gap, told once: no gap has the same newest moment as another. */
export function missedEventId({ id }: Pick<ScheduleState, "id">, newestMs: number): string {
  return uuidV5(`schedule:${id}:missed:${newestMs}`, COMFYQ_NAMESPACE);
}

/** When the job of a moment may start: later by as much as dice say that show the same to everybody. */
export function jitteredMs({ id, rule }: Pick<ScheduleState, "id" | "rule">, atMs: number): number {
  return atMs + (diceOf(`${id}:${atMs}:jitter`) % (rule.jitter_s * 1_000 + 1));
}

/** What the template is filled with. */
export function tickFacts({ id, rule }: ScheduleState, { tickAtMs, count }: PendingTick): TickFacts {
  return { atMs: tickAtMs, timeZone: rule.time_zone, count, seed: diceOf(`${id}:${tickAtMs}:seed`) };
}

/** 0 to 2^52-1. */
function diceOf(name: string): number {
  return Number.parseInt(sha256Hex(name).slice(0, 13), 16);
}
