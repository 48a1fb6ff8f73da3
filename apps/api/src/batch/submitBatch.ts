import { type BatchFacts, COMFYQ_NAMESPACE, uuidV5 } from "@comfyq/contract";
import { failPoint, newId } from "@comfyq/runtime";
import { notFound } from "../errors.ts";
import { idempotencyKey } from "../idempotency.ts";
import type { Rooms } from "../rooms.ts";
import type { Call } from "../route.ts";
import { checkBatch, readBatch } from "./checkBatch.ts";
import { readBatchRequest } from "./readBatchRequest.ts";
import { workInBackground } from "./workInBackground.ts";

/**
 * Takes a batch in: all of it or nothing. Its jobs are made after the answer, by this process or, if it dies, by a dispatcher.
 * @throws ApiError, QueueError as `commitBatch`
 */
export async function submitBatch(
  rooms: Rooms,
  call: Call,
): Promise<{ readonly facts: BatchFacts; readonly replayed: boolean }> {
  const { tenant } = call.caller;
  const { batches } = rooms.producer;
  const key = idempotencyKey(call.req);
  // No tenant has a slash in its name, so this is no id of a job.
  const id = key === undefined ? newId() : uuidV5(`batch/${tenant}:${key}`, COMFYQ_NAMESPACE);
  const request = await readBatchRequest(call.req, rooms.settings.COMFYQ_MAX_BODY_BYTES);
  const read = readBatch(rooms, tenant, request);
  // A repeat is not judged again: its assets may be gone, and its instances may have changed since it was accepted.
  const isRepeat = key !== undefined && (await batches.isRepeat({ ...read, id, tenant }));
  const replayed = isRepeat || (await batches.commit(await checkBatch(rooms, { id, tenant }, read, request.file)));
  await failPoint("batch_committed", { batch: id });
  const facts = await batches.read(tenant, id);
  if (!facts) throw notFound("batch", id);
  if (!replayed && !isLater(facts)) workInBackground(rooms, id);
  return { facts, replayed };
}

function isLater({ run_at, created_at }: BatchFacts): boolean {
  return run_at !== null && Date.parse(run_at) > Date.parse(created_at);
}
