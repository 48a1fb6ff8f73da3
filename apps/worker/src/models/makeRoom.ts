import { isInUse, type ModelIndex } from "./modelIndex.ts";

/** How much room there is, and may be used. */
export interface Room {
  /** Left on the disk, without what downloads under way will still need. */
  readonly freeBytes: number;
  /** The most that models of ours may take together; undefined: nothing is ever evicted. */
  readonly budgetBytes: number | undefined;
}

/** Bytes that are always left on the disk for others. */
const KEEP_FREE_BYTES = 64 * 1_048_576;

/** What to evict so that so many more bytes fit, or how many would still be missing if all that may go went. */
type Eviction = { readonly evict: readonly string[] } | { readonly shortBytes: number };

/**
 * Pure: the least recently used models of ours that nobody uses, no more of them than needed; none when even all would not
 * be enough.
 */
export function chooseEviction(index: ModelIndex, neededBytes: number, room: Room): Eviction {
  let missingBytes = Math.max(neededBytes + KEEP_FREE_BYTES - room.freeBytes, overBudget(index, neededBytes, room));
  if (missingBytes <= 0) return { evict: [] };
  const evict: string[] = [];
  for (const [path, { size_bytes }] of room.budgetBytes === undefined ? [] : leastUsedFirst(index)) {
    evict.push(path);
    missingBytes -= size_bytes;
    if (missingBytes <= 0) return { evict };
  }
  return { shortBytes: missingBytes };
}

function overBudget(index: ModelIndex, neededBytes: number, { budgetBytes }: Room): number {
  return budgetBytes === undefined ? 0 : ownBytes(index) + neededBytes - budgetBytes;
}

/** What models of ours take, with the room reserved for those under way. */
export function ownBytes({ models, downloads }: ModelIndex): number {
  const there = Object.values(models).reduce((sum, { size_bytes }) => sum + size_bytes, 0);
  return Object.values(downloads).reduce((sum, { reserved_bytes }) => sum + reserved_bytes, there);
}

function leastUsedFirst(index: ModelIndex) {
  return Object.entries(index.models)
    .filter(([path]) => !isInUse(index, path))
    .sort(([, a], [, b]) => a.used_at_ms - b.used_at_ms);
}
