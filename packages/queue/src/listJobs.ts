import type { JobErrorCode, JobFacts, JobStatus } from "@comfyq/contract";
import { orUnavailable } from "./errors.ts";
import { readJob } from "./readJob.ts";
import type { QueueRoom } from "./room.ts";

export interface ListQuery {
  readonly tenant: string;
  readonly status?: JobStatus | undefined;
  /** Why the job failed. */
  readonly code?: JobErrorCode | undefined;
  readonly tag?: string | undefined;
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

interface Place {
  readonly createdAtMs: number;
  readonly jobId: string;
}

/** The part of an index, by the moments its jobs were made, that a query is about. */
interface Stretch {
  readonly index: string;
  /** As ZRANGE takes bounds. */
  readonly from: string;
  readonly to: string;
}

/**
 * One page of a tenant's jobs, newest first. With a filter a page can be short, or empty, and still have a next one.
 * @throws QueueError `unavailable`
 */
export async function listJobs(room: QueueRoom, query: ListQuery): Promise<ListPage> {
  return orUnavailable("jobs were listed", list(room, query));
}

async function list(room: QueueRoom, query: ListQuery): Promise<ListPage> {
  const stretch: Stretch = {
    index: room.names.index(query.tenant, query.tag),
    from: String(query.createdAfterMs ?? "-inf"),
    to: query.createdBeforeMs === undefined ? "+inf" : `(${query.createdBeforeMs}`,
  };
  const jobs: JobFacts[] = [];
  let place = query.cursor === undefined ? undefined : parseCursor(query.cursor);
  for (let seen = 0; seen < LOOK_AT_MOST; ) {
    const batch = await placesAfter(room, stretch, { after: place, count: query.limit });
    if (batch.length === 0) return { jobs, nextCursor: undefined };
    const read = await Promise.all(batch.map(({ jobId }) => readJob(room, query.tenant, jobId)));
    for (const [at, job] of read.entries()) {
      place = batch[at];
      if (job && isWanted(job, query)) jobs.push(job);
      if (jobs.length === query.limit && place) return { jobs, nextCursor: await cursorAt(room, stretch, place) };
    }
    seen += batch.length;
  }
  return { jobs, nextCursor: place && (await cursorAt(room, stretch, place)) };
}

function isWanted(job: JobFacts, { status, code, pool }: ListQuery): boolean {
  return (!status || job.status === status) && (!code || job.error?.code === code) && (!pool || job.pool === pool);
}

/** The next places of the index, newest first. Jobs of one millisecond stand in reverse order of their ids. */
export async function placesAfter(
  room: QueueRoom,
  { index, from, to }: Stretch,
  { after, count }: { readonly after: Place | undefined; readonly count: number },
): Promise<Place[]> {
  const places: Place[] = [];
  const max = after?.createdAtMs ?? to;
  for (let offset = 0; places.length < count; offset += count) {
    const flat = await room.redis.zrange(index, max, from, "BYSCORE", "REV", "LIMIT", offset, count, "WITHSCORES");
    for (let at = 0; at < flat.length; at += 2) {
      const place = { jobId: String(flat[at]), createdAtMs: Number(flat[at + 1]) };
      const isPast = after && place.createdAtMs === after.createdAtMs && place.jobId >= after.jobId;
      if (!isPast && places.length < count) places.push(place);
    }
    if (flat.length < count * 2) break;
  }
  return places;
}

/** No cursor when nothing follows, so that a client never fetches an empty last page. */
export async function cursorAt(room: QueueRoom, stretch: Stretch, place: Place): Promise<string | undefined> {
  const [next] = await placesAfter(room, stretch, { after: place, count: 1 });
  return next && Buffer.from(`${place.createdAtMs}:${place.jobId}`).toString("base64url");
}

/** @returns undefined for text that is no cursor of ours: the list then starts at the top */
export function parseCursor(cursor: string): Place | undefined {
  const [createdAt, jobId] = Buffer.from(cursor, "base64url").toString().split(":");
  if (!createdAt || !jobId || !Number.isFinite(Number(createdAt))) return undefined;
  return { createdAtMs: Number(createdAt), jobId };
}
