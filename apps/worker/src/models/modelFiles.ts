import { createHash } from "node:crypto";
import { link, mkdir, open, rename, rm, stat, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import { newId } from "@comfyq/runtime";
import { JobError } from "../jobError.ts";
import { isSystemError } from "./isSystemError.ts";
import type { FileFacts, ModelIndex } from "./modelIndex.ts";
import type { StoreFolder } from "./storeFolder.ts";

/** What lies at a path; undefined when nothing does. A link that an operator made counts as the file it leads to. */
export async function factsOf(file: string): Promise<FileFacts | undefined> {
  try {
    const facts = await stat(file);
    if (!facts.isFile()) throw new JobError("model_rejected", `${file} is no file; send the model under another name`);
    return { size_bytes: facts.size, mtime_ms: facts.mtimeMs };
  } catch (error) {
    if (isSystemError(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** sha256 of a file in hex: of an operator's, which may have tens of gigabytes. @throws the signal's reason */
export async function hashFile(path: string, signal: AbortSignal): Promise<string> {
  await using file = await open(path, "r");
  const hash = createHash("sha256");
  for await (const chunk of file.createReadStream({ signal, highWaterMark: 1_048_576, autoClose: false }))
    hash.update(chunk);
  return hash.digest("hex");
}

/**
 * Bytes left on the disk of a models folder, without what downloads under way will still write.
 * @param exceptId a download that asks for itself
 */
export async function freeBytesOf(store: StoreFolder, index: ModelIndex, exceptId: string): Promise<number> {
  const { bavail, bsize } = await statfs(store.dir);
  let free = bavail * bsize;
  for (const { id, reserved_bytes } of Object.values(index.downloads)) {
    if (id === exceptId) continue;
    const written = (await stat(store.partFile(id)).catch(() => undefined))?.size ?? 0;
    free -= Math.max(0, reserved_bytes - written);
  }
  return free;
}

/** Takes models out of ComfyUI's sight at once; `remove` gives their room back, which takes longer. */
export async function takeOut(store: StoreFolder, paths: readonly string[]): Promise<{ remove(): Promise<void> }> {
  const taken: string[] = [];
  for (const path of paths) {
    const trash = store.partFile(newId());
    try {
      await rename(join(store.dir, path), trash);
      taken.push(trash);
    } catch (error) {
      if (!isSystemError(error, "ENOENT")) throw error; // an operator was faster
    }
  }
  return { remove: async () => void (await Promise.all(taken.map((file) => rm(file, { force: true })))) };
}

/**
 * Gives a whole, checked file its name. Without `replaces` it never takes the place of another: a hard link is refused where
 * something is. Its folder's time changes, and ComfyUI lists it anew.
 * @returns false when something lies there already
 */
export async function giveName(part: string, file: string, replaces: "nothing" | "ours"): Promise<boolean> {
  await mkdir(dirname(file), { recursive: true });
  try {
    if (replaces === "ours") await rename(part, file);
    else await linkOrMove(part, file);
  } catch (error) {
    if (isSystemError(error, "EEXIST")) return false;
    throw error;
  }
  await syncFolder(dirname(file));
  return true;
}

async function linkOrMove(part: string, file: string): Promise<void> {
  try {
    await link(part, file);
    await rm(part);
  } catch (error) {
    // A file system without hard links. We hold the lock, so only an operator could be faster than these two steps.
    if (!isSystemError(error, "EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK")) throw error;
    if ((await factsOf(file)) !== undefined) throw Object.assign(new Error(`${file} is there`), { code: "EEXIST" });
    await rename(part, file);
  }
}

/** The name itself must outlive a power cut, too. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  await handle.sync().catch(() => {}); // not everywhere can a folder be synced
  await handle.close();
}
