import { randomUUID } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { BlobShelf } from "./blobShelf.ts";

/**
 * Keeps every blob as one file in `dir`, and first removes the files that no object names.
 * Nothing is fsynced: this server is for tests and demonstrations.
 */
export async function openFolderShelf(dir: string, namedIds: ReadonlySet<string>): Promise<BlobShelf> {
  await mkdir(dir, { recursive: true });
  const strays = (await readdir(dir)).filter((id) => !namedIds.has(id));
  await Promise.all(strays.map((id) => rm(join(dir, id))));
  return {
    async write(chunks) {
      const id = randomUUID();
      const file = createWriteStream(join(dir, id), { flags: "wx" });
      try {
        await pipeline(chunks, file);
      } catch (error) {
        await rm(join(dir, id), { force: true });
        throw error;
      }
      return { id, sizeBytes: file.bytesWritten };
    },
    read: (blob, start, end) => createReadStream(join(dir, blob.id), { start, end: end - 1 }),
    remove: (blob) => rm(join(dir, blob.id), { force: true }),
  };
}
