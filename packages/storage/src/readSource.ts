import { sleep } from "./clock.ts";
import { readStream, type StreamWatch } from "./readStream.ts";
import type { BodySource, ByteSpan } from "./storage.ts";
import { abortedError, StorageError, storageError } from "./storageError.ts";

/** How often a source may fail without a single byte in between. */
const MOST_FAILURES = 3;
const FIRST_WAIT_MS = 250;

/** Errors that sources failed with: they are the caller's, and reach the caller as they are. */
const failuresOfSources = new WeakSet<object>();

/** Did a source that was read here fail with this? */
export function isFailureOfSource(error: unknown): boolean {
  return typeof error === "object" && error !== null && failuresOfSources.has(error);
}

/**
 * The bytes of a span of a source. Where reading breaks off or falls silent, it goes on from there: nothing is read twice.
 * @throws what the source failed with, when it fails again and again without giving a byte; StorageError `aborted`
 */
export async function* readSource(source: BodySource, span: ByteSpan, watch: StreamWatch): AsyncGenerator<Buffer> {
  let start = span.start;
  for (let failures = 0; start < span.end; ) {
    try {
      for await (const chunk of readOnce(source, { start, end: span.end }, watch)) {
        if (chunk.length === 0) continue;
        start += chunk.length;
        failures = 0;
        yield chunk;
      }
    } catch (error) {
      failures += 1;
      if (watch.signal?.aborted) throw abortedError(watch.doing, watch.signal);
      if (failures === MOST_FAILURES) throw ownOf(error);
      await sleep(FIRST_WAIT_MS * 2 ** failures, watch.signal);
    }
  }
}

/** Up to the span's end, also when the source gives more. @throws StorageError `size_mismatch` when it gives less */
async function* readOnce(source: BodySource, span: ByteSpan, watch: StreamWatch): AsyncGenerator<Buffer> {
  let left = span.end - span.start;
  const body = await source.open(span, watch.signal);
  body.on("error", () => {}); // it may fail before it is read: whoever reads meets the error
  try {
    for await (const chunk of readStream(body, watch)) {
      yield chunk.subarray(0, left);
      left -= chunk.length;
      if (left <= 0) return;
    }
  } finally {
    body.destroy();
  }
  throw storageError("size_mismatch", watch.doing, { detail: `the source ended ${left} bytes too early` });
}

function ownOf(error: unknown): unknown {
  if (typeof error === "object" && error !== null && !(error instanceof StorageError)) failuresOfSources.add(error);
  return error;
}
