import type { Readable } from "node:stream";
import { makeAlarm } from "./clock.ts";
import { pullStream } from "./pullStream.ts";
import { abortedError, type Doing, type StorageError, storageError } from "./storageError.ts";

/** How an object's body is watched on its way to the caller. */
export interface BodyGuard {
  readonly doing: Doing;
  readonly sizeBytes: number;
  /** Longest silence of the store while the caller waits, in ms. A slow caller is not the store's silence. */
  readonly idleTimeoutMs: number;
  readonly signal: AbortSignal | undefined;
  /** Makes an error of the source one of this room. */
  readonly translate: (error: unknown) => StorageError;
}

/**
 * The source, as a stream that ends only after exactly `sizeBytes` bytes, and fails only with StorageError.
 * Destroying it destroys the source at once.
 */
export function guardBody(source: Readable, guard: BodyGuard): Readable {
  // a source may fail before anybody reads it: the reader will meet the error, it must not end the process
  source.on("error", () => {});
  return pullStream(watchedBytes(source, guard), {
    onFailure: (error, stream) => stream.destroy(asError(error)),
    onDestroy: () => source.destroy(),
  });
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

async function* watchedBytes(source: Readable, guard: BodyGuard): AsyncGenerator<Buffer> {
  const { doing, signal, sizeBytes } = guard;
  const detail = `no bytes came for ${guard.idleTimeoutMs} ms`;
  const alarm = makeAlarm(guard.idleTimeoutMs, () => source.destroy(storageError("slow", doing, { detail })));
  const stop = () => signal && source.destroy(abortedError(doing, signal));
  let readBytes = 0;
  try {
    if (signal?.aborted) throw abortedError(doing, signal);
    signal?.addEventListener("abort", stop, { once: true });
    alarm.wind();
    for await (const chunk of source) {
      alarm.rest();
      readBytes += chunk.length;
      yield chunk;
      alarm.wind();
    }
    if (readBytes !== sizeBytes) {
      throw storageError("size_mismatch", doing, { detail: `${sizeBytes} bytes were announced and ${readBytes} came` });
    }
  } catch (error) {
    throw signal?.aborted ? abortedError(doing, signal) : guard.translate(error);
  } finally {
    alarm.rest();
    signal?.removeEventListener("abort", stop);
  }
}
