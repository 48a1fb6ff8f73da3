import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { clearDead, partName } from "./clearDead.ts";
import { type ModelIndex, readIndex, writeIndex } from "./modelIndex.ts";
import { becomeOwner, type Owner } from "./owner.ts";
import { underLock } from "./storeLock.ts";

/** Beside the models, so in their file system; no folder that ComfyUI looks into. */
const STORE_FOLDER = ".comfyq";
/** Longest wait for the lock when this process says goodbye. */
const GOODBYE_MS = 1_000;

/** What is done under the lock: the index as it is, and a way to keep it changed. */
interface Desk {
  readonly index: ModelIndex;
  /** Of the file system's clock. */
  readonly nowMs: number;
  /** @throws Error when this process slept under the lock, and it may be another's by now: nothing is written then */
  readonly save: () => Promise<void>;
}

/** A models folder, with what is known of it, shared with other processes. */
export interface StoreFolder {
  /** The models folder, links resolved. */
  readonly dir: string;
  readonly owner: Owner;
  readonly timeScale: number;
  /** Does something short while nobody else does. What dead processes left is cleared away before. */
  change<T>(signal: AbortSignal, act: (desk: Desk) => Promise<T>): Promise<T>;
  /** The index as it stands now, without the lock. */
  peek(): Promise<ModelIndex>;
  partFile(id: string): string;
  close(): Promise<void>;
}

/** @param dir absolute, links resolved @throws what the system says when it cannot be written to */
export async function openStoreFolder(dir: string, timeScale: number): Promise<StoreFolder> {
  const folder = join(dir, STORE_FOLDER);
  await mkdir(folder, { recursive: true, mode: 0o755 });
  const owner = await becomeOwner(folder, timeScale);
  const change: StoreFolder["change"] = (signal, act) =>
    underLock({ folder, owner, timeScale, signal }, async (isHeld) => {
      const index = await readIndex(folder);
      const save = async () => {
        if (!(await isHeld())) throw new Error("this process stood still while it changed the index of models");
        await writeIndex(folder, index);
      };
      if (await clearDead(folder, owner, index)) await save();
      return act({ index, nowMs: await owner.now(), save });
    });
  await change(new AbortController().signal, async () => {}); // clears away what earlier ones left
  return {
    dir,
    owner,
    timeScale,
    change,
    peek: () => readIndex(folder),
    partFile: (id) => join(folder, partName(id)),
    close: async () => {
      const forget = change(AbortSignal.timeout(GOODBYE_MS), async ({ index, save }) => {
        for (const table of [index.uses, index.downloads])
          for (const [key, entry] of Object.entries(table)) if (entry.owner === owner.id) delete table[key];
        await save();
      });
      const sweep = () => change(AbortSignal.timeout(GOODBYE_MS), async () => {}); // what it was writing is nobody's now
      await forget.then(sweep).catch(() => {}); // whoever comes next does it
      await owner.stop();
    },
  };
}
