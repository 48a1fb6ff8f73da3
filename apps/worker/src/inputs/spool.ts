import { createHash, randomUUID } from "node:crypto";
import { type FileHandle, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { isBroken } from "@comfyq/runtime";
import { JobError } from "../jobError.ts";

/** Bytes on this machine's disk, with their hash; gone when disposed. */
export interface SpooledFile extends AsyncDisposable {
  readonly sha256: string;
  readonly sizeBytes: number;
  /** Up to so many bytes from there; fewer at the end. */
  read(position: number, length: number): Promise<Buffer>;
  /** A new stream over the bytes, each time. */
  open(): Readable;
}

interface SpoolOptions {
  readonly label: string;
  readonly maxBytes: number;
  /** Called with the length of each piece; may throw to have no more of them. */
  readonly onBytes?: (bytes: number) => void;
}

/**
 * Streams an input to disk while hashing it: its name on the instance is its content, which is known only at the end.
 * @throws JobError `input_too_large`, or what the source failed with
 */
export async function spool(body: Readable, { label, maxBytes, onBytes }: SpoolOptions): Promise<SpooledFile> {
  const file = await openNameless();
  const hash = createHash("sha256");
  let sizeBytes = 0;
  try {
    const chunks: AsyncIterable<Buffer> = body;
    for await (const chunk of chunks) {
      sizeBytes += chunk.length;
      onBytes?.(chunk.length);
      if (sizeBytes > maxBytes)
        throw new JobError(
          "input_too_large",
          `Input ${label} is larger than ${maxBytes} bytes (COMFYQ_MAX_INPUT_BYTES)`,
        );
      hash.update(chunk);
      await file.writeFile(chunk); // goes on where the last one ended
    }
  } catch (cause) {
    await file.close();
    throw cause;
  }
  return {
    sha256: hash.digest("hex"),
    sizeBytes,
    read: async (position, length) => {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length, position);
      return buffer.subarray(0, bytesRead);
    },
    open: () => Readable.from(bytesOf(file), { objectMode: false }),
    [Symbol.asyncDispose]: () => file.close(),
  };
}

/** A file without a name is gone with whoever holds it: a killed worker leaves nothing on the disk. */
async function openNameless(): Promise<FileHandle> {
  const path = join(tmpdir(), `comfyq-input-${randomUUID()}`);
  const file = await open(path, "wx+", 0o600);
  if (!isBroken("no_forget")) await rm(path); // broken for a test: it stays
  return file;
}

const READ_BYTES = 262_144;

/** From the beginning, whoever else reads; the handle's own streams would close it when they end. */
async function* bytesOf(file: FileHandle): AsyncGenerator<Buffer> {
  for (let position = 0; ; ) {
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(READ_BYTES), 0, READ_BYTES, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}
