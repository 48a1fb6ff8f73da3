import { constants, type Stats } from "node:fs";
import { type FileHandle, lstat, open } from "node:fs/promises";
import { Readable } from "node:stream";
import { guardBody } from "../guardBody.ts";
import { resolveRange } from "../resolveRange.ts";
import type { FetchedObject, GetOptions, ObjectFacts } from "../storage.ts";
import { storageError } from "../storageError.ts";
import { errnoOf, folderError } from "./folderError.ts";
import type { FolderPlace } from "./folderPlace.ts";
import { readType } from "./typeNotes.ts";

/** What is read, and how patiently. */
export interface FolderRead {
  readonly place: FolderPlace;
  readonly key: string;
  readonly idleTimeoutMs: number;
}

export async function folderGet(read: FolderRead, options: GetOptions): Promise<FetchedObject> {
  const { place, key } = read;
  const doing = place.doing("read", key);
  const path = place.pathOf(key);
  try {
    await place.assertInside(key);
    const contentType = await readType(place, key);
    // O_NOFOLLOW: an object is a file, never a link to one
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    return await serveFile(file, { ...read, contentType }, options);
  } catch (error) {
    throw folderError(error, doing, "not_found");
  }
}

export async function folderHead(place: FolderPlace, key: string): Promise<ObjectFacts | undefined> {
  try {
    await place.assertInside(key);
    const stats = await lstat(place.pathOf(key));
    return stats.isFile() ? factsOf(key, stats, await readType(place, key)) : undefined;
  } catch (error) {
    // ENOTDIR: a part of the key is an object, so there is nothing below it
    if (["ENOENT", "ENOTDIR"].includes(errnoOf(error))) return undefined;
    throw folderError(error, place.doing("look at", key), "not_found");
  }
}

async function serveFile(
  file: FileHandle,
  read: FolderRead & { readonly contentType: string },
  { range, signal }: GetOptions,
): Promise<FetchedObject> {
  const doing = read.place.doing("read", read.key);
  try {
    const stats = await file.stat();
    if (!stats.isFile()) throw storageError("not_found", doing, { detail: "it is a folder" });
    const span = resolveRange(range, stats.size, doing);
    const sizeBytes = span.end - span.start;
    const source =
      sizeBytes === 0 ? Readable.from([]) : file.createReadStream({ start: span.start, end: span.end - 1 });
    if (sizeBytes === 0) await file.close();
    const translate = (error: unknown) => folderError(error, doing, "not_found");
    const body = guardBody(source, { doing, sizeBytes, idleTimeoutMs: read.idleTimeoutMs, signal, translate });
    return { ...factsOf(read.key, stats, read.contentType), body, sizeBytes };
  } catch (error) {
    await file.close();
    throw error;
  }
}

function factsOf(key: string, stats: Stats, contentType: string): ObjectFacts {
  const etag = `"${stats.size.toString(16)}-${Math.round(stats.mtimeMs * 1000).toString(16)}"`;
  return { key, totalBytes: stats.size, contentType, etag, lastModifiedMs: Math.floor(stats.mtimeMs) };
}
