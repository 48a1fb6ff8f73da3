import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { isBroken, SafeFetchError } from "@comfyq/runtime";
import { JobError } from "../jobError.ts";
import { inputError } from "./openSource.ts";

/** Bytes on this machine's disk, with their hash; gone when disposed. */
export interface SpooledFile extends AsyncDisposable {
  readonly sha256: string;
  readonly sizeBytes: number;
  /** A new stream over the bytes, each time. */
  open(): Readable;
}

interface SpoolOptions {
  readonly label: string;
  readonly maxBytes: number;
}

/**
 * Streams an input to disk while hashing it: its name on the instance is its content, which is known only at the end.
 * @throws JobError `input_too_large`, or what the source failed with
 */
export async function spool(body: Readable, { label, maxBytes }: SpoolOptions): Promise<SpooledFile> {
  const dir = await mkdtemp(join(tmpdir(), "comfyq-input-"));
  const path = join(dir, "bytes");
  // Broken for a test: nothing is ever removed.
  const remove = async () => (isBroken("no_forget") ? undefined : rm(dir, { recursive: true, force: true }));
  const hash = createHash("sha256");
  let sizeBytes = 0;
  try {
    await pipeline(
      body,
      async function* (chunks: AsyncIterable<Buffer>) {
        for await (const chunk of chunks) {
          sizeBytes += chunk.length;
          if (sizeBytes > maxBytes)
            throw new JobError(
              "input_too_large",
              `Input ${label} is larger than ${maxBytes} bytes (COMFYQ_MAX_INPUT_BYTES)`,
            );
          hash.update(chunk);
          yield chunk;
        }
      },
      createWriteStream(path),
    );
  } catch (cause) {
    await remove();
    throw cause instanceof SafeFetchError ? inputError(label, cause) : cause;
  }
  return { sha256: hash.digest("hex"), sizeBytes, open: () => createReadStream(path), [Symbol.asyncDispose]: remove };
}
