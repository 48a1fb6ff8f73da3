import type { Attempt } from "@comfyq/contract";
import { isOurMistake } from "./errors.ts";
import { type JobRecord, readJournal, readRecord } from "./record.ts";
import type { QueueRoom } from "./room.ts";

/** What is kept of a job, as far as it takes to judge whether to begin it. The graph is read later: it may be large. */
export type Papers =
  | { readonly record: JobRecord; readonly earlier: readonly Attempt[] }
  | { readonly unreadable: string };

/** Reads a job's papers. Written by another version of ours, perhaps: then one job fails, not the worker. */
export async function readPapers(room: QueueRoom, jobId: string): Promise<Papers> {
  const read = await orUnreadable(() =>
    Promise.all([readRecord(room.redis, room.names, jobId), readJournal(room.redis, room.names, jobId)]),
  );
  if ("unreadable" in read) return read;
  const [record, journal] = read.found;
  return record ? { record, earlier: journal.attempts } : { unreadable: "its record is gone" };
}

/** Tells text that cannot be understood from a Redis that cannot be asked. */
export async function orUnreadable<T>(
  read: () => Promise<T>,
): Promise<{ readonly found: T } | { readonly unreadable: string }> {
  try {
    return { found: await read() };
  } catch (error) {
    if (isOurMistake(error)) return { unreadable: "its record is not of this version" };
    throw error;
  }
}
