import { type JobRecord, readJournal, readRecord } from "./record.ts";
import type { QueueRoom } from "./room.ts";

/** Where a job stands, for a worker that found a prompt of it. */
export type Standing =
  /** It can be claimed. */
  | { readonly kind: "waiting" }
  /** A worker holds it, or held it and its lock has not run out; `epoch` is the newest start that was begun. */
  | { readonly kind: "held"; readonly epoch: number }
  | { readonly kind: "ended" }
  /** No such job here, or one that waits in another pool: nobody who asks here can take it up. */
  | { readonly kind: "unknown" };

/** Asks where a job stands. */
export async function standingOf(room: QueueRoom, pool: string, jobId: string): Promise<Standing> {
  const record = await readRecord(room.redis, room.names, jobId);
  if (!record) return { kind: "unknown" };
  const state = await room.jobs(record.pool).getJobState(jobId);
  switch (state) {
    case "active":
      return { kind: "held", epoch: await begunEpoch(room, record.pool, jobId) };
    case "waiting":
    case "prioritized":
    case "delayed":
      return { kind: record.pool === pool ? "waiting" : "unknown" };
    case "completed":
    case "failed":
      return { kind: "ended" };
    case "waiting-children":
    case "unknown":
      return { kind: isWithdrawn(record) ? "ended" : "unknown" };
  }
}

/**
 * A worker that has claimed the job and may still decline it has begun nothing: it must not look like a successor, or the
 * prompt of the attempt before it would be stopped for nothing.
 */
async function begunEpoch(room: QueueRoom, pool: string, jobId: string): Promise<number> {
  const { attempts } = await readJournal(room.redis, room.names, jobId);
  return attempts.at(-1)?.epoch ?? (await room.jobs(pool).getJob(jobId))?.attemptsStarted ?? 0;
}

/** Taken out of the queue while it waited: the record alone is left. */
function isWithdrawn({ cancelRequestedAtMs, expiredAtMs }: JobRecord): boolean {
  return cancelRequestedAtMs !== undefined || expiredAtMs !== undefined;
}
