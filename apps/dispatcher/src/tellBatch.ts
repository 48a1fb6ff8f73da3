import { COMFYQ_NAMESPACE, presentBatch, uuidV5, type WebhookEvent } from "@comfyq/contract";
import {
  batchCaredFor,
  careForBatch,
  type EndedBatch,
  endedBatch,
  neglectedBatches,
  noteRowEnd,
  type QueueRoom,
  type Settled,
  tell,
} from "@comfyq/queue";
import { failPoint } from "@comfyq/runtime";

/** Follows the end of a job that is a row of a batch; tells of the batch's own end when it was the last. Safe to repeat. */
export async function followBatch(room: QueueRoom, settled: Settled, publicUrl: string): Promise<void> {
  const ended = await noteRowEnd(room, settled);
  await failPoint("row_noted", { job: settled.jobId });
  if (ended) await tellBatch(room, ended, publicUrl);
}

/**
 * Goes on with batches that nobody works on: their API died while it made their jobs, or canceled them, or they have ended in a
 * step that no job's settlement follows. One whose `run_at` has come begins here.
 * @returns how many were looked after
 * @throws AggregateError of those that could not be; the others were
 */
export async function careForBatches(room: QueueRoom, publicUrl: string, signal: AbortSignal): Promise<number> {
  const ids = await neglectedBatches(room);
  const troubles: unknown[] = [];
  for (const id of ids) {
    if (signal.aborted) break;
    // One that cannot be read must not keep the others waiting.
    await careFor(room, id, { publicUrl, signal }).catch((error: unknown) => troubles.push(error));
  }
  if (troubles.length > 0) throw new AggregateError(troubles, `${troubles.length} batches could not be looked after`);
  return ids.length;
}

async function careFor(
  room: QueueRoom,
  id: string,
  { publicUrl, signal }: { readonly publicUrl: string; readonly signal: AbortSignal },
): Promise<void> {
  const onStep = (batch: string) => failPoint("batch_step", { batch });
  const spokenFor = await careForBatch(room, id, { signal, onStep });
  if (spokenFor === undefined) return;
  const ended = await endedBatch(room, id);
  if (ended) await tellBatch(room, ended, publicUrl);
  await batchCaredFor(room, id, spokenFor);
}

/** The id of the event comes from the batch and its round, so it is told once however often this is done. */
async function tellBatch(room: QueueRoom, { facts, audience }: EndedBatch, publicUrl: string): Promise<void> {
  const event: WebhookEvent = {
    v: 1,
    id: uuidV5(`${facts.id}:batch.completed:${facts.round}`, COMFYQ_NAMESPACE),
    type: "batch.completed",
    timestamp: facts.completed_at ?? facts.created_at,
    data: { batch: presentBatch(facts, publicUrl) },
  };
  await tell(room, event, audience);
  await failPoint("batch_told", { batch: facts.id });
}
