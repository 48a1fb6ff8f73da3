import { randomUUID } from "node:crypto";
import type { Blob, BlobShelf } from "./blobShelf.ts";

/** Keeps every blob in memory. */
export function openMemoryShelf(): BlobShelf {
  const blobs = new Map<string, Buffer>();
  return {
    async write(chunks) {
      const pieces: Buffer[] = [];
      for await (const chunk of chunks) pieces.push(chunk);
      const bytes = Buffer.concat(pieces);
      const blob: Blob = { id: randomUUID(), sizeBytes: bytes.length };
      blobs.set(blob.id, bytes);
      return blob;
    },
    async *read(blob, start, end) {
      const bytes = blobs.get(blob.id);
      if (bytes) yield bytes.subarray(start, end);
    },
    async remove(blob) {
      blobs.delete(blob.id);
    },
  };
}
