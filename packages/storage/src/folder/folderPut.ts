import { type FileHandle, link, open, rm } from "node:fs/promises";
import { safeContentType } from "../contentTypeOf.ts";
import { Measure } from "../measure.ts";
import { asBytes, holdBody, isBodysOwn, readBody } from "../readBody.ts";
import type { PutBody, PutIfAbsentOptions, PutOptions, StoredObject } from "../storage.ts";
import { abortedError, storageError } from "../storageError.ts";
import { errnoOf, folderError } from "./folderError.ts";
import { type FolderPlace, renameTo } from "./folderPlace.ts";
import { forgetOldType, keepType } from "./typeNotes.ts";

/** A write that has a place to go to. */
export interface FolderWrite {
  readonly place: FolderPlace;
  readonly key: string;
  readonly idleTimeoutMs: number;
}

/** Draft, fsync, rename, fsync of the folders: whoever sees the object sees all of it, after a power failure too. */
export async function folderPut(write: FolderWrite, body: PutBody, options: PutOptions): Promise<StoredObject> {
  const { place, key } = write;
  const doing = place.doing("store", key);
  const held = holdBody(body);
  const contentType = safeContentType(options.contentType);
  try {
    place.pathOf(key);
    const measured = await withDraft(place, async (draft) => {
      const measure = await writeDraft(write, draft, { body, options });
      if (options.signal?.aborted) throw abortedError(doing, options.signal);
      await keepType(place, key, contentType);
      await place.settle(key, renameTo(draft));
      return measure.finish();
    });
    await forgetOldType(place, key, contentType);
    return { key, sizeBytes: measured.sizeBytes, sha256: measured.sha256 };
  } catch (error) {
    throw isBodysOwn(body, error) ? error : folderError(error, doing, "bucket_missing");
  } finally {
    held.release();
  }
}

/** A hard link fails when the name is taken: that is the atomic step. */
export async function folderPutIfAbsent(
  write: FolderWrite,
  body: Uint8Array | string,
  options: PutIfAbsentOptions,
): Promise<{ created: boolean }> {
  const { place, key } = write;
  const contentType = safeContentType(options.contentType);
  try {
    place.pathOf(key);
    return await withDraft(place, async (draft) => {
      await writeDraft(write, draft, { body: asBytes(body), options });
      await place.settle(key, (path) => link(draft, path));
      await keepType(place, key, contentType);
      await forgetOldType(place, key, contentType);
      return { created: true };
    });
  } catch (error) {
    if (errnoOf(error) === "EEXIST") return { created: false };
    throw folderError(error, place.doing("seal", key), "bucket_missing");
  }
}

/** Work with a path of a file to be; what is left there at the end is removed. */
export async function withDraft<T>(place: FolderPlace, work: (draft: string) => Promise<T>): Promise<T> {
  const draft = await place.newDraft();
  try {
    return await work(draft);
  } finally {
    await rm(draft, { force: true });
  }
}

async function writeDraft(
  { place, key, idleTimeoutMs }: FolderWrite,
  draft: string,
  { body, options }: { body: PutBody; options: { sizeBytes?: number | undefined; signal?: AbortSignal | undefined } },
): Promise<Measure> {
  const doing = place.doing("store", key);
  const measure = new Measure();
  const watch = { doing, measure, sizeBytes: options.sizeBytes, idleTimeoutMs, signal: options.signal };
  const file = await open(draft, "wx", 0o644);
  try {
    for await (const chunk of readBody(body, watch)) await writeAll(file, chunk);
    await file.sync();
    const { size } = await file.stat();
    if (size !== measure.sizeBytes) {
      throw storageError("size_mismatch", doing, { detail: `the file has ${size} of ${measure.sizeBytes} bytes` });
    }
  } finally {
    await file.close();
  }
  return measure;
}

/** The file system may take less than it was given, when it is about to be full for instance. */
async function writeAll(file: FileHandle, chunk: Buffer): Promise<void> {
  for (let at = 0; at < chunk.length; ) at += (await file.write(chunk, at)).bytesWritten;
}
