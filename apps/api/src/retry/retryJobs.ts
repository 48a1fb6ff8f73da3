import {
  COMFYQ_NAMESPACE,
  fromMoment,
  type JobFacts,
  type RetriedJob,
  type RetryReport,
  type RetryRequest,
  uuidV5,
} from "@comfyq/contract";
import type { Producer } from "@comfyq/queue";
import { sha256Hex, withDeadline } from "@comfyq/runtime";

/** Jobs that are worked on at once: each may hold a graph of 1 MB meanwhile. */
const AT_ONCE = 20;
/** Then the answer is given with a cursor: a client should not wait for a walk through a hundred thousand jobs. */
const LONGEST_MS = 15_000;

/** A request, whose it is, and under which key. */
export interface RetryWish extends RetryRequest {
  readonly tenant: string;
  readonly key: string | undefined;
}

/**
 * Retries every ended job that matches, newest first, until the limit, the end of the list, the deadline or the signal;
 * the report's cursor leads on. Safe to repeat also after an error: what was retried before is only named again.
 * @throws QueueError `full` | `unavailable`; some jobs may have been retried by then
 */
export async function retryJobs(producer: Producer, wish: RetryWish, signal: AbortSignal): Promise<RetryReport> {
  const enough = withDeadline(signal, LONGEST_MS);
  const retried: RetriedJob[] = [];
  let cursor = wish.cursor;
  do {
    const page = await producer.list(queryOf(wish, cursor, wish.limit - retried.length));
    const done = await Promise.all(page.jobs.map((job) => retryOne(producer, wish, job)));
    retried.push(...done.filter((one) => one !== undefined));
    cursor = page.nextCursor;
  } while (cursor !== undefined && retried.length < wish.limit && !enough.aborted);
  return { matched: retried.length, retried, next_cursor: cursor ?? null };
}

function queryOf(wish: RetryWish, cursor: string | undefined, left: number): Parameters<Producer["list"]>[0] {
  const { tenant, status, code, tag, pool, created_after, created_before } = wish;
  return {
    ...{ tenant, status, code, tag, pool, cursor, limit: Math.min(AT_ONCE, left) },
    createdAfterMs: fromMoment(created_after),
    createdBeforeMs: fromMoment(created_before),
  };
}

/** @returns undefined when the job was swept meanwhile */
async function retryOne(producer: Producer, wish: RetryWish, old: JobFacts): Promise<RetriedJob | undefined> {
  const { tenant } = wish;
  const id = retryId(old.id, wish.key);
  const facts = { from: old.id, code: old.error?.code ?? null };
  if (await producer.read(tenant, id)) return { ...facts, to: id, replayed: true };
  if (wish.dry_run) return { ...facts, to: null, replayed: false };
  const submitted = await producer.submitted(tenant, old.id);
  if (!submitted) return undefined;
  const { run_at: _past, ...job } = submitted.job;
  const bodySha256 = sha256Hex(`retry:${old.id}`);
  const { replayed } = await producer.submit({ ...submitted, id, tenant, job, bodySha256 });
  return { ...facts, to: id, replayed };
}

/**
 * The same old job and key always make the same new job. It stays known for as long as the old one does, for it ends
 * later and both are kept equally long. No tenant has a slash in its name, so this is no id that `jobIdFor` makes.
 */
function retryId(oldId: string, key: string | undefined): string {
  return uuidV5(`retry/${oldId}/${key ?? ""}`, COMFYQ_NAMESPACE);
}
