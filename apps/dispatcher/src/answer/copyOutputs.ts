import {
  attemptPrefix,
  type CacheEntry,
  filenamePrefixes,
  type Manifest,
  type StoredFile,
  type StoredThumbnail,
} from "@comfyq/contract";
import type { Answerable } from "@comfyq/queue";
import { failPoint, type HistoryFacts } from "@comfyq/runtime";
import { type Storage, safeKeySegment } from "@comfyq/storage";
import { renameOutput } from "./renameOutput.ts";

/** Files of one job that are copied at the same time. */
const PARALLEL = 4;

interface Result {
  readonly entry: CacheEntry;
  readonly source: Manifest;
}

/**
 * Copies every file of a result to a place of the job's own, so that each job owns its files and is swept by itself (promise
 * I5). Names begin as this job's save nodes say.
 * @throws StorageError `not_found` when one is gone; the signal's reason
 */
export async function copyOutputs(job: Answerable, result: Result, store: Storage): Promise<Manifest["outputs"]> {
  const place = placesFor(job, result.entry);
  const copies = result.source.outputs.map((from) => ({ from, to: "key" in from ? place(from) : from }));
  const queue = copies.values();
  const carry = async () => {
    for (const { from, to } of queue) if ("key" in from && "key" in to) await copyFile(job, { from, to }, store);
  };
  await Promise.all(Array.from({ length: PARALLEL }, carry));
  return copies.map(({ to }) => to);
}

/** Gives files of another job a name and a place in this one. */
function placesFor(job: Answerable, entry: CacheEntry): (file: StoredFile) => StoredFile {
  const own = filenamePrefixes(job.request.workflow);
  const taken = new Set<string>();
  const move = <T extends StoredFile | StoredThumbnail>(file: T, nodeId: string): T => {
    const wished = renameOutput(file.name, { nodeId, from: entry.prefixes[nodeId], to: own[nodeId] });
    const name = taken.has(wished) ? safeKeySegment(`${taken.size}-${wished}`) : wished;
    taken.add(name);
    return { ...file, name, key: `${attemptPrefix(job.id, job.epoch, job.output)}${name}` };
  };
  return (file) => ({
    ...move(file, file.node_id),
    ...(file.thumbnail && { thumbnail: move(file.thumbnail, file.node_id) }),
  });
}

/** What every line of a test's history says of an answer. */
export function historyOf({ id, epoch }: Answerable): HistoryFacts {
  return { job: id, epoch, instance: "cache" };
}

interface Copying {
  readonly from: StoredFile;
  readonly to: StoredFile;
}

async function copyFile(job: Answerable, { from, to }: Copying, store: Storage): Promise<void> {
  job.isOurs(); // aborts the signal when it is not
  job.signal.throwIfAborted();
  const { signal } = job;
  if (from.thumbnail && to.thumbnail) await store.copy(from.thumbnail.key, to.thumbnail.key, { signal });
  await store.copy(from.key, to.key, { signal });
  const { node_id, name, type, key, sha256, size_bytes } = to;
  await failPoint("output_stored", { ...historyOf(job), key, sha256, size: size_bytes });
  job.show({ event: "output", data: { node_id, name, type, size_bytes } });
}
