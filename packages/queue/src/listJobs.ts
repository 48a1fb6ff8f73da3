import type { JobErrorCode, JobFacts, JobStatus } from "@comfyq/contract";
import { orUnavailable } from "./errors.ts";
import { readJob } from "./readJob.ts";
import type { QueueRoom } from "./room.ts";
import { cursorAt, parseCursor, placesAfter, stretchOf } from "./timeline.ts";

export interface ListQuery {
  readonly tenant: string;
  readonly status?: JobStatus | undefined;
  /** Why the job failed. */
  readonly code?: JobErrorCode | undefined;
  readonly tag?: string | undefined;
  /** Only the jobs of this batch, those of earlier tries of its rows included. */
  readonly batch?: string | undefined;
  readonly pool?: string | undefined;
  /** Made at this moment or later, Unix ms. */
  readonly createdAfterMs?: number | undefined;
  /** Made before this moment, Unix ms. */
  readonly createdBeforeMs?: number | undefined;
  /** Jobs on one page, 1 to 100. */
  readonly limit: number;
  readonly cursor?: string | undefined;
}

export interface ListPage {
  readonly jobs: readonly JobFacts[];
  readonly nextCursor: string | undefined;
}

/** A filter may find little; one answer looks at no more than this many jobs and then hands out a cursor to go on. */
const LOOK_AT_MOST = 1_000;

/**
 * One page of a tenant's jobs, newest first. With a filter a page can be short, or empty, and still have a next one.
 * @throws QueueError `unavailable`
 */
export async function listJobs(room: QueueRoom, query: ListQuery): Promise<ListPage> {
  return orUnavailable("jobs were listed", list(room, query));
}

async function list(room: QueueRoom, query: ListQuery): Promise<ListPage> {
  const { tenant, batch: batchId, tag } = query;
  if (batchId && (await room.redis.hget(room.names.batch(batchId), "tenant")) !== tenant)
    return { jobs: [], nextCursor: undefined };
  const stretch = stretchOf(batchId ? room.names.batchJobs(batchId) : room.names.index(tenant, tag), query);
  const jobs: JobFacts[] = [];
  let place = parseCursor(query.cursor);
  for (let seen = 0; seen < LOOK_AT_MOST; ) {
    const batch = await placesAfter(room, stretch, { after: place, count: query.limit });
    if (batch.length === 0) return { jobs, nextCursor: undefined };
    const read = await Promise.all(batch.map(({ id }) => readJob(room, query.tenant, id)));
    for (const [at, job] of read.entries()) {
      place = batch[at];
      if (job && isWanted(job, query)) jobs.push(job);
      if (jobs.length === query.limit && place) return { jobs, nextCursor: await cursorAt(room, stretch, place) };
    }
    seen += batch.length;
  }
  return { jobs, nextCursor: place && (await cursorAt(room, stretch, place)) };
}

function isWanted(job: JobFacts, { status, code, pool, tag }: ListQuery): boolean {
  if (tag && !job.tags.includes(tag)) return false; // a batch's list has all of its jobs
  return (!status || job.status === status) && (!code || job.error?.code === code) && (!pool || job.pool === pool);
}
