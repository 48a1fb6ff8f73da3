import { createHash } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { RESERVED_SEGMENT } from "../checkKey.ts";
import { contentTypeOf } from "../contentTypeOf.ts";
import { errnoOf } from "./folderError.ts";
import type { FolderPlace } from "./folderPlace.ts";

/**
 * A file has a name but no content type. Mostly the name tells it; where it would tell another one, a note beside the
 * objects does, named by the key's hash because `a` and `a/b` may both have had one.
 */
function noteOf(place: FolderPlace, key: string): string {
  const hash = createHash("sha256").update(key).digest("hex");
  return join(place.root, RESERVED_SEGMENT, "types", hash.slice(0, 2), hash.slice(2));
}

/** Call it before the object becomes visible: an object of a wrong type is worse than a note without object. */
export async function keepType(place: FolderPlace, key: string, contentType: string): Promise<void> {
  if (contentType === contentTypeOf(key)) return;
  const draft = await place.newDraft();
  await mkdir(dirname(noteOf(place, key)), { recursive: true });
  await writeFile(draft, contentType);
  await rename(draft, noteOf(place, key));
}

/** Call it when the object stands: forgets what a former object of this key needed. */
export async function forgetOldType(place: FolderPlace, key: string, contentType: string): Promise<void> {
  if (contentType === contentTypeOf(key)) await dropType(place, key);
}

export async function readType(place: FolderPlace, key: string): Promise<string> {
  try {
    return await readFile(noteOf(place, key), "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return contentTypeOf(key);
    throw error;
  }
}

export async function dropType(place: FolderPlace, key: string): Promise<void> {
  await rm(noteOf(place, key), { force: true });
}
