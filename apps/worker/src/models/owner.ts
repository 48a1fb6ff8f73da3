import { rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { every, newId } from "@comfyq/runtime";

const BEAT_MS = 2_000;
/** An owner that has not beaten for so long is dead, or sleeps: what it had begun may be taken over. */
const DEAD_AFTER_MS = 15_000;

export const OWNER_FILE = /^owner\.(.+)$/;

/**
 * This process, as the others that share a models folder see it: a file that is written again every 2 s. Ages are taken
 * between files of one file system, so hosts whose clocks differ agree.
 */
export interface Owner {
  readonly id: string;
  /** The file system's clock, in ms. */
  readonly now: () => Promise<number>;
  readonly isAlive: (ownerId: string) => Promise<boolean>;
  readonly stop: () => Promise<void>;
}

/** @param timeScale 1 but in tests @throws what the system says when the folder cannot be written to */
export async function becomeOwner(folder: string, timeScale: number): Promise<Owner> {
  const id = newId();
  const path = join(folder, `owner.${id}`);
  const now = async (): Promise<number> => {
    await writeFile(path, "."); // a byte: an empty write may not touch the time
    return (await stat(path)).mtimeMs;
  };
  await now();
  const stopped = new AbortController();
  const beating = every(BEAT_MS * timeScale, now, { signal: stopped.signal, onError: () => {}, unref: true });
  return {
    id,
    now,
    isAlive: async (ownerId) => {
      if (ownerId === id) return true;
      const beatenAtMs = (await stat(join(folder, `owner.${ownerId}`)).catch(() => undefined))?.mtimeMs;
      return beatenAtMs !== undefined && (await now()) - beatenAtMs < DEAD_AFTER_MS * timeScale;
    },
    stop: async () => {
      stopped.abort();
      await beating;
      await rm(path, { force: true });
    },
  };
}
