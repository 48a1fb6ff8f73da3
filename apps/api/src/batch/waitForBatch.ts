import type { BatchFacts } from "@comfyq/contract";
import { every, withDeadline } from "@comfyq/runtime";
import type { Rooms } from "../rooms.ts";
import type { Call } from "../route.ts";

/** A batch has no stream of events; its counts are cheap to read. */
const LOOK_EVERY_MS = 500;

/** Waits until a batch has ended, the seconds are over, or the client is gone. @returns the batch as it is then */
export async function waitForBatch(rooms: Rooms, call: Call, batch: BatchFacts, seconds: number): Promise<BatchFacts> {
  const { batches } = rooms.producer;
  const ended = new AbortController();
  const signal = AbortSignal.any([withDeadline(call.signal, seconds * 1_000), ended.signal]);
  let latest = batch;
  const look = async () => {
    latest = (await batches.read(call.caller.tenant, batch.id)) ?? latest;
    if (latest.completed_at !== null) ended.abort();
  };
  await every(LOOK_EVERY_MS, look, { signal, onError: () => {} }); // it is recorded: a Redis that is away takes nothing back
  return latest;
}
