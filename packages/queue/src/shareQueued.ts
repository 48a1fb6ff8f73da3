import { queueAnswers } from "./answers.ts";
import { cacheKeyOf } from "./cacheKey.ts";
import { listWorkers } from "./fleet.ts";
import { join } from "./flights.ts";
import type { QueueRoom } from "./room.ts";

export interface SharedJob {
  readonly id: string;
  readonly tenant: string;
  readonly pool: string;
  readonly subject: string;
}

/** Workers of a pool are alike, or of a few kinds: of more than these, none is asked about. */
const MOST_KINDS = 4;

/**
 * Looks for a result that any live worker of the pool could have made. If there is none yet, the job is among those that are
 * answered when there is, wherever it stands in the queue by then.
 */
export async function shareQueued(room: QueueRoom, { id, tenant, pool, subject }: SharedJob): Promise<boolean> {
  const workers = (await listWorkers(room)).filter((worker) => worker.pool === pool);
  const fingerprints = [...new Set(workers.flatMap(({ fingerprint }) => fingerprint ?? []))].slice(0, MOST_KINDS);
  for (const fingerprint of fingerprints) {
    const key = cacheKeyOf(subject, fingerprint);
    if (!(await join(room, { tenant, key, jobId: id }))) continue;
    await queueAnswers(room, { tenant, key }, [id]);
    return true;
  }
  return false;
}
