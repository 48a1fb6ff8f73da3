/** A run of bytes on the shelf. An object is one blob, or one per part when it was uploaded in parts. */
export interface Blob {
  readonly id: string;
  readonly sizeBytes: number;
}

/** Where bytes lie: in memory or in a folder. */
export interface BlobShelf {
  /** Stores all chunks; when they fail, nothing is kept and the failure is passed on. */
  write(chunks: AsyncIterable<Buffer>): Promise<Blob>;
  /** Bytes `start` (included) to `end` (excluded) of one blob. */
  read(blob: Blob, start: number, end: number): AsyncIterable<Buffer>;
  /** Safe to repeat. */
  remove(blob: Blob): Promise<void>;
}

/** The bytes `start` (included) to `end` (excluded) of several blobs laid end to end. */
export async function* readAcross(
  shelf: BlobShelf,
  blobs: readonly Blob[],
  range: { start: number; end: number },
): AsyncGenerator<Buffer> {
  let offset = 0;
  for (const blob of blobs) {
    const start = Math.max(range.start - offset, 0);
    const end = Math.min(range.end - offset, blob.sizeBytes);
    if (start < end) yield* shelf.read(blob, start, end);
    offset += blob.sizeBytes;
  }
}
