import type { Queue } from "bullmq";
import { longestWaitMs } from "./ageing.ts";
import { errandQueues } from "./board.ts";
import { type PoolCounts, poolCounts } from "./fleet.ts";
import type { QueueRoom } from "./room.ts";

/** What an operator watches of one pool. */
export interface PoolFacts extends PoolCounts {
  /** Of those that could start: how long the one has waited that waits longest. */
  readonly longestWaitMs: number;
  /** Ever queued there. Only rises. */
  readonly submitted: number;
  /** Ever ended there, by status. Each only rises. */
  readonly ended: Readonly<Record<string, number>>;
}

export async function poolFacts(room: QueueRoom): Promise<readonly PoolFacts[]> {
  return Promise.all((await poolCounts(room)).map((counts) => factsOf(room, counts)));
}

async function factsOf(room: QueueRoom, counts: PoolCounts): Promise<PoolFacts> {
  const { redis, names } = room;
  const [longest, submitted, fields] = await Promise.all([
    longestWaitMs(room, counts.pool),
    redis.get(names.bull(names.jobsQueue(counts.pool), "id")),
    redis.hgetall(names.pace(counts.pool)),
  ]);
  const ended = Object.entries(fields)
    .filter(([field]) => field.startsWith(ENDED))
    .map(([field, count]) => [field.slice(ENDED.length), Number(count)]);
  return { ...counts, longestWaitMs: longest, submitted: Number(submitted ?? 0), ended: Object.fromEntries(ended) };
}

/** As NOTE_END and WITHDRAW write it. */
const ENDED = "ended:";

/** How many errands stand where, by queue and state: webhooks, schedules and all that dispatchers do. */
export async function errandCounts(room: QueueRoom): Promise<readonly ErrandCounts[]> {
  return Promise.all(errandQueues(room).map(countsOf));
}

export interface ErrandCounts {
  readonly queue: string;
  readonly states: Readonly<Record<string, number>>;
}

async function countsOf(queue: Queue): Promise<ErrandCounts> {
  return { queue: queue.name, states: await queue.getJobCounts("wait", "prioritized", "active", "delayed", "failed") };
}
