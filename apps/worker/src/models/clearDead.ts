import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { INDEX_DRAFT, type ModelIndex } from "./modelIndex.ts";
import { OWNER_FILE, type Owner } from "./owner.ts";

/** A download that is not yet whole, or a model that is on its way out; its id stands in the middle. */
export const partName = (id: string): string => `.comfyq-${id}.part`;
const PART_FILE = /^\.comfyq-(.+)\.part$/;

type IsAlive = (ownerId: string) => Promise<boolean>;

/** Forgets what dead owners were doing, and removes what they left. Only under the lock. @returns did the index change? */
export async function clearDead(folder: string, owner: Owner, index: ModelIndex): Promise<boolean> {
  const known = new Map<string, Promise<boolean>>();
  const isAlive: IsAlive = (id) => {
    const answer = known.get(id) ?? owner.isAlive(id);
    known.set(id, answer);
    return answer;
  };
  const forgotten = [await forgetDead(index.downloads, isAlive), await forgetDead(index.uses, isAlive)];
  await removeLeft(folder, index, isAlive);
  return forgotten.includes(true);
}

async function forgetDead(table: Record<string, { readonly owner: string }>, isAlive: IsAlive): Promise<boolean> {
  let changed = false;
  for (const [key, entry] of Object.entries(table)) {
    if (await isAlive(entry.owner)) continue;
    delete table[key];
    changed = true;
  }
  return changed;
}

async function removeLeft(folder: string, { downloads }: ModelIndex, isAlive: IsAlive): Promise<void> {
  const wanted = new Set(Object.values(downloads).map(({ id }) => partName(id)));
  for (const name of await readdir(folder)) {
    const ownerId = OWNER_FILE.exec(name)?.[1];
    const isLeftPart = PART_FILE.test(name) && !wanted.has(name);
    const isLeft = isLeftPart || INDEX_DRAFT.test(name) || (ownerId !== undefined && !(await isAlive(ownerId)));
    if (isLeft) await rm(join(folder, name), { force: true });
  }
}
