import { Readable } from "node:stream";
import { letOthersRun } from "./clock.ts";
import type { Measure } from "./measure.ts";
import { isFailureOfSource, readSource } from "./readSource.ts";
import { readStream } from "./readStream.ts";
import type { BodySource, PutBody } from "./storage.ts";
import { abortedError, type Doing, storageError } from "./storageError.ts";

/** How a body is watched while it is read. */
export interface BodyWatch {
  readonly doing: Doing;
  /** Sees every byte. */
  readonly measure: Measure;
  /** The length that was announced, if any. */
  readonly sizeBytes: number | undefined;
  /** Longest silence of the body while somebody waits for its next bytes, in ms. */
  readonly idleTimeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

/** A string or an array is cut into pieces of this size: nobody may block the process by hashing a gigabyte at once. */
const PIECE_BYTES = 1024 * 1024;

/**
 * The bytes of a body, measured. Only waiting for the body counts as its silence, not the time its reader takes.
 * @throws StorageError `slow` | `size_mismatch` | `aborted`; the body's own error when it fails
 */
export async function* readBody(body: PutBody, watch: BodyWatch): AsyncGenerator<Buffer> {
  const { measure, sizeBytes } = watch;
  for await (const chunk of chunksOf(body, watch)) {
    if (sizeBytes !== undefined && measure.sizeBytes + chunk.length > sizeBytes) throw wrongSize(watch, "more");
    measure.update(chunk);
    yield chunk;
  }
  if (sizeBytes !== undefined && measure.sizeBytes < sizeBytes) throw wrongSize(watch, "fewer");
}

function chunksOf(body: PutBody, watch: BodyWatch): AsyncGenerator<Buffer> {
  if (body instanceof Readable) return readStream(body, watch);
  if (isSource(body)) return readSource(body, { start: 0, end: body.sizeBytes }, watch);
  return cutBytes(asBytes(body), watch);
}

/** Can it be read again, and from anywhere? */
export function isSource(body: PutBody): body is BodySource {
  return typeof body === "object" && "open" in body;
}

/** A body that already lies in memory, as bytes without a copy. */
export function asBytes(body: Uint8Array | string): Buffer {
  return typeof body === "string" ? Buffer.from(body) : Buffer.from(body.buffer, body.byteOffset, body.byteLength);
}

/**
 * Takes charge of a stream until `release` is called: an error it emits while nobody reads it does not end the process
 * (its reader will meet it), and what is left of it at the end is destroyed.
 */
export function holdBody(body: PutBody): { release(): void } {
  if (!(body instanceof Readable)) return { release: () => {} };
  body.on("error", () => {});
  return { release: () => void body.destroy() };
}

/** Whether the body itself failed: that error is the caller's and reaches the caller as it is. */
export function isBodysOwn(body: PutBody, error: unknown): boolean {
  if (body instanceof Readable) return body.errored !== null && body.errored === error;
  return isFailureOfSource(error);
}

async function* cutBytes(bytes: Buffer, { doing, signal }: BodyWatch): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    if (signal?.aborted) throw abortedError(doing, signal);
    yield bytes.subarray(at, at + PIECE_BYTES);
    await letOthersRun();
  }
}

function wrongSize({ doing, sizeBytes, measure }: BodyWatch, found: "more" | "fewer") {
  const count = found === "more" ? "more" : `only ${measure.sizeBytes}`;
  return storageError("size_mismatch", doing, { detail: `${sizeBytes} bytes were announced and ${count} came` });
}
