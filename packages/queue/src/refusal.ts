import { QueueError, type Refusal } from "./errors.ts";
import { paceOf } from "./pace.ts";
import type { QueueRoom } from "./room.ts";

/** When nothing has ended lately, and nobody works, there is nothing to go by. */
const UNKNOWN_SECONDS = 60;

/** What was to be queued. */
interface Refused {
  readonly pool: string;
  /** How many at once. */
  readonly jobs: number;
}

/** What a script answered that refused: `full` or `limited`, and its numbers. */
export async function readRefusal(room: QueueRoom, said: readonly string[], asked: Refused): Promise<Refusal> {
  const [kind, first, second, third, last] = said;
  if (kind === "limited" && first === "gpu_seconds_per_day")
    return { limit: first, most: Number(second), used: Number(third), retryAfterSeconds: Number(last) };
  const places =
    kind === "full"
      ? { most: room.settings.queueCap, used: Number(second ?? room.settings.queueCap), jobs: asked.jobs }
      : { most: Number(second), used: Number(third), jobs: asked.jobs };
  const isPool = kind === "full";
  const busy = await busyPerSecond(room, asked.pool, isPool ? undefined : places.used);
  const retryAfterSeconds = untilRoom(places, Math.max(busy, Number(isPool ? first : last)));
  return { limit: isPool ? "pool" : "queued", most: places.most, used: places.used, retryAfterSeconds };
}

/**
 * How many jobs end in a second at least, while its workers are busy, as they are when so many wait. The pace of late says less after
 * hours in which there was nothing to do.
 * @param ofTenant jobs of one tenant that wait: only its share counts then
 */
async function busyPerSecond(room: QueueRoom, pool: string, ofTenant: number | undefined): Promise<number> {
  const queue = room.names.bull(room.names.jobsQueue(pool), "");
  const [{ mean, workers }, moved, waiting] = await Promise.all([
    paceOf(room, pool, undefined),
    room.redis.llen(`${queue}wait`),
    room.redis.zcard(`${queue}prioritized`),
  ]);
  if (!mean || mean.totalMs <= 0) return 0;
  const share = ofTenant === undefined ? 1 : Math.min(1, ofTenant / Math.max(1, moved + waiting));
  return (share * workers * 1_000) / mean.totalMs;
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
export async function refusedRows(room: QueueRoom, said: readonly string[], asked: Refused): Promise<QueueError> {
  const { pool, jobs: rows } = asked;
  const refusal = await readRefusal(room, said, asked);
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
