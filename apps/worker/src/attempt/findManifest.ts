import { json } from "node:stream/consumers";
import { Manifest, manifestKey } from "@comfyq/contract";
import type { HeldJob } from "@comfyq/queue";
import { type Storage, StorageError } from "@comfyq/storage";

/**
 * The manifest that an earlier attempt sealed, if any. A first start cannot have one, and is spared the question: it
 * would be asked while the GPU waits.
 */
export async function findManifest(job: HeldJob, store: Storage): Promise<Manifest | undefined> {
  return job.epoch === 1 ? undefined : readManifest(job.id, store);
}

/** Reads the manifest of a job; undefined when nobody has sealed it. */
export async function readManifest(jobId: string, store: Storage): Promise<Manifest | undefined> {
  try {
    const { body } = await store.get(manifestKey(jobId));
    return Manifest.parse(await json(body));
  } catch (error) {
    if (error instanceof StorageError && error.code === "not_found") return undefined;
    throw error;
  }
}
