import { buffer } from "node:stream/consumers";
import type { Job, JobFacts, Output } from "@comfyq/contract";
import { StorageError } from "@comfyq/storage";
import type { Rooms } from "../rooms.ts";
import type { Call } from "../route.ts";

/** All files of one answer, before base64 makes them a third longer. */
const MOST_INLINE_BYTES = 1_000_000;

/**
 * Puts the bytes of a job's files into the answer, when its customer asked for that (`output.inline`): in order, each one
 * that still fits. Read anew for each answer, so that nothing of them is kept in Redis, in lists or in webhooks.
 */
export async function inlineOutputs(rooms: Rooms, call: Call, job: Job, facts: JobFacts): Promise<Job> {
  if (!facts.output?.inline) return job;
  const outputs: Output[] = [];
  let left = MOST_INLINE_BYTES;
  for (const [at, output] of job.outputs.entries()) {
    const stored = facts.outputs[at];
    const isFitting = stored !== undefined && "key" in stored && stored.size_bytes <= left;
    const bytes = isFitting ? await readAll(rooms, call, stored.key) : undefined;
    left -= bytes?.length ?? 0;
    outputs.push(bytes ? { ...output, data_base64: bytes.toString("base64") } : output);
  }
  return { ...job, outputs };
}

/** A file that was swept or cannot be read now leaves the rest of the answer as it is: its link is there. */
async function readAll({ storage }: Rooms, { signal }: Call, key: string): Promise<Buffer | undefined> {
  try {
    const { body, totalBytes } = await storage.get(key, { signal });
    if (totalBytes <= MOST_INLINE_BYTES) return await buffer(body);
    body.destroy();
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
  }
  return undefined;
}
