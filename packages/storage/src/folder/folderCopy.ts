import { constants } from "node:fs";
import { copyFile, link, lstat, open } from "node:fs/promises";
import type { ObjectFacts } from "../storage.ts";
import { abortedError, storageError } from "../storageError.ts";
import { errnoOf, folderError } from "./folderError.ts";
import { folderHead } from "./folderGet.ts";
import { type FolderPlace, renameTo } from "./folderPlace.ts";
import { withDraft } from "./folderPut.ts";
import { forgetOldType, keepType, readType } from "./typeNotes.ts";

/** From where to where, and the caller's way out. */
export interface FolderCopy {
  readonly from: string;
  readonly to: string;
  readonly signal?: AbortSignal | undefined;
}

/** File systems without hard links, and a file that has as many as it may. */
const CANNOT_LINK = ["EPERM", "ENOTSUP", "EXDEV", "EMLINK"];

/** A hard link: no byte moves, and as objects are replaced and never changed in place, neither is the other's copy. */
export async function folderCopy(place: FolderPlace, { from, to, signal }: FolderCopy): Promise<ObjectFacts> {
  const doing = place.doing("copy", from);
  try {
    if (signal?.aborted) throw abortedError(doing, signal);
    place.pathOf(to);
    const source = await folderHead(place, from);
    if (!source) throw storageError("not_found", doing, { detail: "there is no such object" });
    if (from === to) return source;
    await withDraft(place, async (draft) => {
      await linkOrCopy(place.pathOf(from), draft);
      // a link is never followed, and `lstat` of the source may have been of another moment
      if (!(await lstat(draft)).isFile()) throw storageError("not_found", doing, { detail: "it is no file" });
      const contentType = await readType(place, from);
      await keepType(place, to, contentType);
      await place.settle(to, renameTo(draft));
      await forgetOldType(place, to, contentType);
    });
    const copy = await folderHead(place, to);
    if (copy?.totalBytes === source.totalBytes) return copy;
    const detail = `the copy "${to}" has ${copy?.totalBytes ?? "none"} of ${source.totalBytes} bytes`;
    throw storageError("size_mismatch", doing, { detail });
  } catch (error) {
    throw folderError(error, doing, "not_found");
  }
}

async function linkOrCopy(from: string, draft: string): Promise<void> {
  try {
    await link(from, draft);
  } catch (error) {
    if (!CANNOT_LINK.includes(errnoOf(error))) throw error;
    await copyFile(from, draft, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    const file = await open(draft, "r+");
    await file.sync().finally(() => file.close());
  }
}
