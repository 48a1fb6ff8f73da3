import { QueueError, type Refusal } from "./errors.ts";
import type { QueueRoom } from "./room.ts";

/** When nothing has ended lately, there is nothing to go by. */
const UNKNOWN_SECONDS = 60;

/** What a script answered that refused: `full` or `limited`, and its numbers. */
export function readRefusal({ settings }: QueueRoom, [kind, first, most, used, last]: readonly string[]): Refusal {
  if (kind === "full") {
    const { queueCap } = settings;
    return { limit: "pool", most: queueCap, used: queueCap, retryAfterSeconds: untilRoom(queueCap, Number(first)) };
  }
  const facts = { most: Number(most), used: Number(used) };
  if (first === "queued") return { limit: first, ...facts, retryAfterSeconds: untilRoom(facts.most, Number(last)) };
  return { limit: "gpu_seconds_per_day", ...facts, retryAfterSeconds: Number(last) };
}

/** Until one in a hundred places is free: with one place for all who were refused, most would be refused again. */
function untilRoom(places: number, endsPerSecond: number): number {
  const seconds = endsPerSecond > 0 ? Math.ceil(places / 100) / endsPerSecond : UNKNOWN_SECONDS;
  return Math.min(3_600, Math.max(1, Math.ceil(seconds)));
}

/** Says so, and when to come back. */
export function refused(refusal: Refusal, pool: string): QueueError {
  const { limit, most, used, retryAfterSeconds } = refusal;
  const advice = `try again in ${retryAfterSeconds} s`;
  if (limit === "pool")
    return new QueueError("full", `Pool ${pool} already has ${most} jobs waiting; ${advice}`, { refusal });
  const what =
    limit === "queued"
      ? `Your limit of ${most} queued jobs is reached: ${used} wait`
      : `Your limit of ${most} GPU seconds a day is reached: ${Math.round(used)} were used today (UTC)`;
  return new QueueError("limited", `${what}; ${advice}`, { refusal });
}
