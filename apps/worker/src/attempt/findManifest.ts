import { json } from "node:stream/consumers";
import { Manifest, manifestKey } from "@comfyq/contract";
import { withDeadline } from "@comfyq/runtime";
import { StorageError } from "@comfyq/storage";
import { orAborted } from "../orAborted.ts";
import type { Tools } from "../tools.ts";
import type { AttemptRun } from "./attempt.ts";
import { untilWell } from "./untilStored.ts";

/** A manifest is a few KB: a store that takes longer is not well, and is asked again. */
const READ_MS = 20_000;

/**
 * The manifest that an earlier attempt sealed, if any. Waits for a store that is away: rendering finished work again is
 * worse. A first attempt asks, too, but after it has submitted: the GPU would wait with it.
 */
export function findManifest(run: AttemptRun, tools: Tools): Promise<Manifest | undefined> {
  const found = untilWell(run, tools, { step: () => readManifest(run, tools) });
  found.catch(() => {}); // an attempt that ends before it wants the answer does not miss it
  return found;
}

/** Reads the manifest of a job; undefined when nobody has sealed it. */
export async function readManifest(run: AttemptRun, { store }: Tools): Promise<Manifest | undefined> {
  const late = new StorageError("slow", `The manifest was not read within ${READ_MS} ms; is the store well?`);
  const signal = withDeadline(run.signal, READ_MS, late);
  const read = async () => {
    const { body } = await store.get(manifestKey(run.job.id), { signal });
    return Manifest.parse(await json(body));
  };
  try {
    return await orAborted(read(), signal);
  } catch (error) {
    if (error instanceof StorageError && error.code === "not_found") return undefined;
    throw error;
  }
}
