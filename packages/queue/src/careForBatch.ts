import { JobEventType, type NewJob } from "@comfyq/contract";
import { type BatchRecord, childId, type RowValues, readBatchRecord, readRows } from "./batchRecord.ts";
import { cancelJob } from "./cancelJob.ts";
import type { JobSubmission, RecordRequest } from "./envelopes.ts";
import { QueueError } from "./errors.ts";
import { redisNowMs } from "./redisClock.ts";
import type { QueueRoom } from "./room.ts";
import { readSharedRequest } from "./sharedRequest.ts";
import { submitJob } from "./submitJob.ts";

/** Jobs that are made, or canceled, beside each other: others use this connection, too. */
const AT_ONCE = 50;

/** What is to be known while a batch is worked on. */
export interface Care {
  readonly signal: AbortSignal;
  /** After each fifty jobs; for tests that kill. */
  readonly onStep?: (batchId: string) => Promise<void>;
}

/**
 * Makes the jobs that a batch has not got yet, or cancels those that it has when it is to be canceled. Every step can be done
 * twice, by two processes at a time: a job's id comes from its batch and row, and the row's letter says whether it is made. Who
 * works on it says so every fifty jobs, and whoever finds a batch that nobody spoke of for 10 s goes on with it.
 * @returns what to show to `batchCaredFor`; undefined when it was interrupted by the signal
 * @throws QueueError `unavailable`; what is left is done by the next who looks
 */
export async function careForBatch(room: QueueRoom, id: string, care: Care): Promise<number | undefined> {
  const record = await readBatchRecord(room, undefined, id);
  if (!record) return speakFor(room, id);
  const work = record.isCanceled ? cancelRows(room, record) : makeRows(room, record);
  let spokenFor = await speakFor(room, id);
  for await (const _step of work) {
    spokenFor = await speakFor(room, id);
    await care.onStep?.(id);
    if (care.signal.aborted) return undefined;
  }
  return spokenFor;
}

/** A quarter of a ms, as no script writes it: a wish that comes meanwhile is told from our own word. */
async function speakFor({ redis, names, settings }: QueueRoom, id: string): Promise<number> {
  const untilMs = Math.round((await redisNowMs(redis)) + settings.batchLeaseMs) + 0.25;
  await redis.zadd(names.batchCare, "XX", untilMs, id);
  return untilMs;
}

/** Batches that nobody works on and somebody should; one whose `run_at` is to come is not due. */
export async function neglectedBatches({ redis, names, settings }: QueueRoom): Promise<readonly string[]> {
  const now = await redisNowMs(redis);
  return redis.zrange(names.batchCare, "-inf", String(now), "BYSCORE", "LIMIT", 0, settings.sweepBatch);
}

/** Removes the note, unless something was wished since: then somebody looks again. */
const CARED_FOR = `
if tonumber(redis.call("ZSCORE", KEYS[1], ARGV[1]) or 0) == tonumber(ARGV[2]) then redis.call("ZREM", KEYS[1], ARGV[1]) end
return 1
`;

/** Nothing is left to be done for it by itself: its rows are made, or asked to end, and its end was told if it has ended. */
export async function batchCaredFor({ redis, names }: QueueRoom, id: string, spokenFor: number): Promise<void> {
  await redis.eval(CARED_FOR, 1, names.batchCare, id, spokenFor);
}

async function* makeRows(room: QueueRoom, record: BatchRecord): AsyncGenerator<void> {
  const unmade = rowsIn(record.states, ".");
  const shared = unmade.length === 0 ? undefined : await readSharedRequest(room, record.id);
  if (!shared) return;
  for (const rows of inGroups(unmade)) {
    const found = await readRows(room, record.id, rows);
    const made = [...found].map(([row, { values, retries }]) =>
      submitJob(room, childOf(record, shared.request, { row, values, retries })),
    );
    await Promise.all(made);
    yield;
  }
}

async function* cancelRows(room: QueueRoom, { id, tenant, states }: BatchRecord): AsyncGenerator<void> {
  for (const rows of inGroups(rowsIn(states, "q"))) {
    const found = await readRows(room, id, rows);
    await Promise.all(
      [...found].map(([row, { retries }]) => cancelUnlessEnded(room, tenant, childId(id, row, retries))),
    );
    yield;
  }
}

async function cancelUnlessEnded(room: QueueRoom, tenant: string, jobId: string): Promise<void> {
  try {
    await cancelJob(room, tenant, jobId);
  } catch (error) {
    if (!(error instanceof QueueError && error.code === "conflict")) throw error;
  }
}

/** As a customer would have submitted it, but for its graph: that stands in the batch, and once. */
function childOf(
  { id, tenant, head }: BatchRecord,
  { workflow, inputs, files }: RecordRequest,
  { row, values, retries }: { readonly row: number; readonly values: RowValues; readonly retries: number },
): JobSubmission {
  const { webhook, webhookHeaders: sealedHeaders, run_at: _batchWaits, ...options } = head;
  const events = webhook?.events.filter((event) => JobEventType.safeParse(event).success) as JobEventType[] | undefined; // filtered
  const job: NewJob = {
    ...options,
    metadata: { ...options.metadata, ...values.metadata },
    ...(webhook && events && events.length > 0 && { webhook: { ...webhook, events } }),
    ...{ workflow, inputs, files, params: {} },
  };
  const original = Buffer.from(JSON.stringify({ of: id, params: values.params, inputs: values.inputs }));
  const origin = { batch: { id, row } };
  return { id: childId(id, row, retries), tenant, job, bodySha256: id, original, origin, sealedHeaders };
}

function rowsIn(states: string, letter: string): readonly number[] {
  return Array.from(states).flatMap((state, row) => (state === letter ? [row] : []));
}

function* inGroups(rows: readonly number[]): Generator<readonly number[]> {
  for (let at = 0; at < rows.length; at += AT_ONCE) yield rows.slice(at, at + AT_ONCE);
}
