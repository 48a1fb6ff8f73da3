import { QueueError, type Refusal } from "./errors.ts";
import type { QueueRoom } from "./room.ts";

/** When nothing has ended lately, there is nothing to go by. */
const UNKNOWN_SECONDS = 60;

/**
 * What a script answered that refused: `full` or `limited`, and its numbers.
 * @param jobs how many were to be queued at once
 */
export function readRefusal({ settings }: QueueRoom, said: readonly string[], jobs = 1): Refusal {
  const [kind, first, second, third, last] = said;
  if (kind === "full") {
    const facts = { most: settings.queueCap, used: Number(second ?? settings.queueCap) };
    return { limit: "pool", ...facts, retryAfterSeconds: untilRoom({ ...facts, jobs }, Number(first)) };
  }
  const facts = { most: Number(second), used: Number(third) };
  if (first === "queued")
    return { limit: first, ...facts, retryAfterSeconds: untilRoom({ ...facts, jobs }, Number(last)) };
  return { limit: "gpu_seconds_per_day", ...facts, retryAfterSeconds: Number(last) };
}

interface Places {
  readonly most: number;
  readonly used: number;
  readonly jobs: number;
}

/**
 * Until there is room for all, and one in a hundred places is free: with one place for all who were refused, most would be refused
 * again. Undefined when there will never be room for so many.
 */
function untilRoom({ most, used, jobs }: Places, endsPerSecond: number): number | undefined {
  if (jobs > most) return undefined;
  const places = Math.max(Math.ceil(most / 100), used + jobs - most);
  const seconds = endsPerSecond > 0 ? places / endsPerSecond : UNKNOWN_SECONDS;
  return Math.min(3_600, Math.max(1, Math.ceil(seconds)));
}

/** Says that there is no room for the rows of a batch, and when to come back, or that it is too large. */
export function refusedRows(
  room: QueueRoom,
  said: readonly string[],
  { pool, rows }: { readonly pool: string; readonly rows: number },
): QueueError {
  const refusal = readRefusal(room, said, rows);
  const { limit, most, used, retryAfterSeconds } = refusal;
  if (limit === "gpu_seconds_per_day") return refused(refusal, pool);
  const [code, whose] =
    limit === "pool"
      ? (["full", `Pool ${pool}, which may have ${most} jobs waiting,`] as const)
      : (["limited", `Your limit of ${most} queued jobs`] as const);
  const free = Math.max(0, most - used);
  const orFewer = free > 0 ? ", or send fewer rows" : "";
  const advice =
    retryAfterSeconds === undefined ? "send fewer rows at a time" : `try again in ${retryAfterSeconds} s${orFewer}`;
  return new QueueError(code, `${whose} has room for ${free} more, and these are ${rows}; ${advice}`, { refusal });
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
