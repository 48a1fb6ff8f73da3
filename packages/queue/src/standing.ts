import { readRecord } from "./record.ts";
import type { QueueRoom } from "./room.ts";

/** Where a job stands, for a worker that found a prompt of it. */
export type Standing =
  /** It can be claimed. */
  | { readonly kind: "waiting" }
  /** A worker holds it, or held it and its lock has not run out; `epoch` is the newest start. */
  | { readonly kind: "held"; readonly epoch: number }
  | { readonly kind: "ended" }
  /** No such job here, or none that this pool can ever claim. */
  | { readonly kind: "unknown" };

/** Asks where a job stands. A job of another pool that waits is `unknown`: nobody who asks here can take it up. */
export async function standingOf(room: QueueRoom, pool: string, jobId: string): Promise<Standing> {
  const record = await readRecord(room.redis, room.names, jobId);
  if (!record) return { kind: "unknown" };
  const queue = room.jobs(record.pool);
  const state = await queue.getJobState(jobId);
  switch (state) {
    case "active": {
      // Read after the state: if another start came in between, it is the newer one that holds it.
      const bullJob = await queue.getJob(jobId);
      return bullJob ? { kind: "held", epoch: bullJob.attemptsStarted } : { kind: "ended" };
    }
    case "waiting":
    case "prioritized":
    case "delayed":
      return { kind: record.pool === pool ? "waiting" : "unknown" };
    case "completed":
    case "failed":
      return { kind: "ended" };
    default:
      return endedByWish(record) ? { kind: "ended" } : { kind: "unknown" };
  }
}

/** Withdrawn while it waited: the record alone is left. */
function endedByWish(record: {
  readonly cancelRequestedAtMs?: number | undefined;
  readonly expiredAtMs?: number | undefined;
}): boolean {
  return record.cancelRequestedAtMs !== undefined || record.expiredAtMs !== undefined;
}
