import type { Dirent } from "node:fs";
import { lstat, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { checkPrefix, RESERVED_SEGMENT } from "../checkKey.ts";
import type { ListedObject, ListOptions } from "../storage.ts";
import { abortedError } from "../storageError.ts";
import { errnoOf, folderError } from "./folderError.ts";
import type { FolderPlace } from "./folderPlace.ts";
import { dropType } from "./typeNotes.ts";

/** In the order of the keys' bytes, like S3. One directory's names are in memory at a time, per level. */
export async function* folderList(
  place: FolderPlace,
  prefix: string,
  options: ListOptions,
): AsyncGenerator<ListedObject> {
  checkPrefix(prefix);
  const { limit = Number.POSITIVE_INFINITY, cursor = "", signal } = options;
  let count = 0;
  try {
    for await (const key of walk(place, { folder: folderOf(prefix), prefix, cursor })) {
      if (signal?.aborted) throw abortedError(place.doing("list", prefix), signal);
      if (count >= limit) return;
      const stats = await lstat(place.pathOf(key)).catch(absent);
      if (!stats) continue; // removed since we saw its name
      count += 1;
      yield { key, sizeBytes: stats.size, lastModifiedMs: Math.floor(stats.mtimeMs) };
    }
  } catch (error) {
    throw folderError(error, place.doing("list", prefix), "not_found");
  }
}

/** Removes an object, its type note and the folders it leaves empty. Returns whether it was there. */
export async function folderRemove(place: FolderPlace, key: string): Promise<boolean> {
  try {
    const path = place.pathOf(key);
    await place.assertInside(key);
    const stats = await lstat(path).catch(absent);
    if (!stats || stats.isDirectory()) return false;
    await rm(path, { force: true });
    await dropType(place, key);
    await place.prune(key);
    return true;
  } catch (error) {
    throw folderError(error, place.doing("remove", key), "not_found");
  }
}

/** Removes drafts that nobody has touched for `olderThanMs`. */
export async function folderSweep(place: FolderPlace, oldestMs: number): Promise<{ removed: number }> {
  let removed = 0;
  try {
    for (const name of (await readdir(place.drafts).catch(absent)) ?? []) {
      const draft = join(place.drafts, name);
      const stats = await lstat(draft).catch(absent);
      if (!stats || stats.mtimeMs > oldestMs) continue;
      await rm(draft, { force: true });
      removed += 1;
    }
  } catch (error) {
    throw folderError(error, place.doing("sweep"), "bucket_missing");
  }
  return { removed };
}

interface Walk {
  /** Key of the folder with a trailing `/`, or "" for the root. */
  readonly folder: string;
  readonly prefix: string;
  readonly cursor: string;
}

async function* walk(place: FolderPlace, { folder, prefix, cursor }: Walk): AsyncGenerator<string> {
  const entries = (await readdir(join(place.root, folder), { withFileTypes: true }).catch(absent)) ?? [];
  for (const key of entries
    .map((entry) => keyOf(folder, entry))
    .filter((key) => key !== "")
    .sort(byBytes)) {
    const leadsToPrefix = key.startsWith(prefix) || (key.endsWith("/") && prefix.startsWith(key));
    if (!leadsToPrefix) continue;
    if (key.endsWith("/")) {
      // a folder whose every key comes before the cursor need not be opened
      if (byBytes(key, cursor) > 0 || cursor.startsWith(key)) yield* walk(place, { folder: key, prefix, cursor });
    } else if (byBytes(key, cursor) > 0) yield key;
  }
}

/** "" for what is no object: links, sockets, our own folder. A folder gets its `/`, which decides its place in the order. */
function keyOf(folder: string, entry: Dirent): string {
  if (folder === "" && entry.name === RESERVED_SEGMENT) return "";
  if (entry.isDirectory()) return `${folder}${entry.name}/`;
  return entry.isFile() ? folder + entry.name : "";
}

function folderOf(prefix: string): string {
  return prefix.slice(0, prefix.lastIndexOf("/") + 1);
}

function byBytes(left: string, right: string): number {
  return Buffer.compare(Buffer.from(left), Buffer.from(right));
}

function absent(error: unknown): undefined {
  if (["ENOENT", "ENOTDIR"].includes(errnoOf(error))) return undefined;
  throw error;
}
