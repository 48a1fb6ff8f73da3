import { orUnreadable } from "./papers.ts";
import { type RequestPapers, readRecord, readRequest } from "./record.ts";
import type { QueueRoom } from "./room.ts";

/** A job that waits for a worker, as far as one can get ready for it. */
export interface WaitingJob extends RequestPapers {
  readonly id: string;
  readonly tenant: string;
}

/**
 * The next jobs of a pool, in the order in which they will be claimed. Only looks: nothing is claimed or changed, and any of
 * them may be another worker's a moment later.
 * @param ignore ids whose records need not be read again
 * @returns ids of the next jobs, and the records of those that can be read and are not ignored
 */
export async function peekJobs(
  room: QueueRoom,
  pool: string,
  { count, ignore }: { readonly count: number; readonly ignore: ReadonlySet<string> },
): Promise<{ readonly ids: readonly string[]; readonly jobs: readonly WaitingJob[] }> {
  const queue = room.names.jobsQueue(pool);
  // Where moveToActive-11.lua takes from (bullmq 6.7.0): the right end of `wait`, then the lowest score of `prioritized`.
  const [first, then] = await Promise.all([
    room.redis.lrange(room.names.bull(queue, "wait"), -count, -1),
    room.redis.zrange(room.names.bull(queue, "prioritized"), 0, String(count - 1)),
  ]);
  const ids = [...first.toReversed(), ...then].slice(0, count);
  const jobs = await Promise.all(ids.filter((id) => !ignore.has(id)).map((id) => readWaiting(room, id)));
  return { ids, jobs: jobs.filter((job) => job !== undefined) };
}

async function readWaiting({ redis, names }: QueueRoom, id: string): Promise<WaitingJob | undefined> {
  const read = await orUnreadable(() => Promise.all([readRecord(redis, names, id), readRequest(redis, names, id)]));
  if ("unreadable" in read) return undefined; // whoever claims it will say so
  const [record, papers] = read.found;
  if (!record || !papers || record.cancelRequestedAtMs !== undefined) return undefined;
  return { id, tenant: record.tenant, ...papers };
}
