import { randomUUID } from "node:crypto";
import type { Blob, BlobShelf } from "./blobShelf.ts";

const ZEROS = Buffer.alloc(64 * 1024);

/**
 * Keeps every blob in memory.
 * @param forgetAboveBytes larger ones are checked and counted as ever, but read as zeros: for benchmarks that write more than
 * a machine can hold
 */
export function openMemoryShelf(forgetAboveBytes = Number.POSITIVE_INFINITY): BlobShelf {
  const blobs = new Map<string, Buffer>();
  return {
    async write(chunks) {
      const pieces: Buffer[] = [];
      let sizeBytes = 0;
      for await (const chunk of chunks) {
        sizeBytes += chunk.length;
        if (sizeBytes <= forgetAboveBytes) pieces.push(chunk);
        else pieces.length = 0;
      }
      const blob: Blob = { id: randomUUID(), sizeBytes };
      if (sizeBytes <= forgetAboveBytes) blobs.set(blob.id, Buffer.concat(pieces));
      return blob;
    },
    async *read(blob, start, end) {
      const bytes = blobs.get(blob.id);
      if (bytes) yield bytes.subarray(start, end);
      else if (blob.sizeBytes > forgetAboveBytes) yield* zeros(end - start);
    },
    async remove(blob) {
      blobs.delete(blob.id);
    },
  };
}

function* zeros(sizeBytes: number): Generator<Buffer> {
  for (let left = sizeBytes; left > 0; left -= ZEROS.length) yield ZEROS.subarray(0, Math.min(left, ZEROS.length));
}
