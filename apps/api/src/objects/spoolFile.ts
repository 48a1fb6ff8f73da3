import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { newId } from "@comfyq/runtime";
import type { ApiSettings } from "../config.ts";
import { ApiError } from "../errors.ts";
import { createDigest, type Digests } from "./digest.ts";

export interface SpoolLimits {
  /** Folder for the bytes while they are measured; made when it is not there. */
  readonly folder: string;
  readonly maxBytes: number;
  readonly signal: AbortSignal;
}

/** Where uploads are put while they are measured. */
export function spoolFolder({ COMFYQ_DATA_DIR }: ApiSettings): string {
  return join(resolve(COMFYQ_DATA_DIR), "spool");
}

/** Bytes on our disk, measured, until they are disposed of. */
interface SpooledBytes extends Digests, AsyncDisposable {
  readonly sizeBytes: number;
  open(): Readable;
}

/** Streams bytes to disk; once. It listens to the source from the moment it is called. */
export type FillSpool = (source: Readable) => Promise<SpooledBytes>;

/**
 * Makes ready to stream bytes to disk and to hash them on the way; memory stays flat. Disk first, because the place in the
 * store is named by the hash, which is known only at the end. When filling fails, nothing stays on the disk.
 * @throws ApiError `payload_too_large` while filling; what the source failed with
 */
export async function prepareSpool({ folder, maxBytes, signal }: SpoolLimits): Promise<FillSpool> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, newId());
  const remove = () => rm(path, { force: true });
  const digest = await createDigest();
  let sizeBytes = 0;
  const measure = async function* (pieces: AsyncIterable<Buffer>) {
    for await (const piece of pieces) {
      digest.update(piece);
      sizeBytes += piece.length;
      yield piece;
    }
  };
  return async (source) => {
    const file = createWriteStream(path, { flags: "wx", mode: 0o600 });
    const closed = new Promise<void>((resolve) => file.once("close", () => resolve()));
    try {
      await pipeline(source, measure, file, { signal });
      if (sizeBytes > maxBytes) throw tooLarge(maxBytes);
      return { ...digest.end(), sizeBytes, open: () => createReadStream(path), [Symbol.asyncDispose]: remove };
    } catch (error) {
      file.destroy();
      await closed; // it may be made only now, and would stay
      await remove();
      throw error;
    }
  };
}

/** The file has more bytes than are taken. */
export function tooLarge(maxBytes: number): ApiError {
  return new ApiError(
    "payload_too_large",
    `The file is larger than ${maxBytes} bytes; make it smaller, or send it as a URL`,
    { headers: { Connection: "close" } },
  );
}
