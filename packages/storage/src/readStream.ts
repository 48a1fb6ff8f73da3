import type { Readable } from "node:stream";
import { makeAlarm } from "./clock.ts";
import { abortedError, type Doing, storageError } from "./storageError.ts";

/** How a stream is watched while it is read. */
export interface StreamWatch {
  readonly doing: Doing;
  /** Longest silence of the stream while somebody waits for its next bytes, in ms. */
  readonly idleTimeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * The bytes of a stream, which is destroyed when nobody wants the rest. Only waiting for it counts as its silence.
 * @throws StorageError `slow` | `aborted`; the stream's own error when it fails
 */
export async function* readStream(stream: Readable, watch: StreamWatch): AsyncGenerator<Buffer> {
  const { doing, signal, idleTimeoutMs } = watch;
  const detail = `the body gave no bytes for ${idleTimeoutMs} ms`;
  const alarm = makeAlarm(idleTimeoutMs, () => stream.destroy(storageError("slow", doing, { detail })));
  const stop = () => signal && stream.destroy(abortedError(doing, signal));
  if (signal?.aborted) throw abortedError(doing, signal);
  signal?.addEventListener("abort", stop, { once: true });
  try {
    alarm.wind();
    for await (const chunk of stream) {
      alarm.rest();
      yield typeof chunk === "string" ? Buffer.from(chunk) : chunk;
      alarm.wind();
    }
  } finally {
    alarm.rest();
    signal?.removeEventListener("abort", stop);
  }
}
