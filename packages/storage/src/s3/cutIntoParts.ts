import type { ByteSpan } from "../storage.ts";

const MEBIBYTE = 1024 * 1024;
/** Three of these are in memory at a time. With S3's limit of 10,000 parts it is enough for 83 GB of unknown length. */
const USUAL_PART_BYTES = 8 * MEBIBYTE;
export const MOST_PARTS = 10_000;

/** Parts that are read from a source as they are sent take no memory; this is what a failed one costs again. */
const USUAL_SPAN_BYTES = 32 * MEBIBYTE;

/** Size of every part but the last: some stores want them equal. */
export function partBytesFor(sizeBytes: number | undefined, usualBytes: number = USUAL_PART_BYTES): number {
  const needed = Math.ceil((sizeBytes ?? 0) / MOST_PARTS / MEBIBYTE) * MEBIBYTE;
  return Math.max(usualBytes, needed);
}

/** The parts of a source of known length, in order. */
export function cutIntoSpans(sizeBytes: number): ByteSpan[] {
  const partBytes = partBytesFor(sizeBytes, USUAL_SPAN_BYTES);
  return Array.from({ length: Math.ceil(sizeBytes / partBytes) }, (_, index) => ({
    start: index * partBytes,
    end: Math.min((index + 1) * partBytes, sizeBytes),
  }));
}

/**
 * Gathers chunks into parts of exactly `partBytes`; only the last is shorter. An empty body has no part.
 * Buffers come from `spare` when there are any: put each one back when it has been sent.
 * @param sizeBytes expected length, so that a small body does not take a large buffer
 */
export async function* cutIntoParts(
  chunks: AsyncIterable<Buffer>,
  { partBytes, spare, sizeBytes }: { partBytes: number; spare: Buffer[]; sizeBytes: number | undefined },
): AsyncGenerator<Buffer, undefined> {
  let part: Buffer | undefined;
  let filled = 0;
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length; ) {
      // one byte more than expected: a part may be full only when there is more to come
      part ??= spare.pop() ?? Buffer.allocUnsafeSlow(Math.min(partBytes, (sizeBytes ?? partBytes) + 1));
      const copied = chunk.copy(part, filled, at);
      at += copied;
      filled += copied;
      if (filled < part.length) continue;
      yield part;
      part = undefined;
      filled = 0;
    }
  }
  if (part && filled > 0) yield part.subarray(0, filled);
}
