import { HeadObjectCommand } from "@aws-sdk/client-s3";
import { storageError } from "../storageError.ts";
import { readSdkFailure } from "./s3Error.ts";
import type { S3Write } from "./s3Write.ts";

/** What should stand in the bucket now. */
export interface Expected {
  readonly sizeBytes: number;
  readonly sha256: string;
  /** Our own CRC-32 in base64, COMPOSITE (`…-3`) after a multipart upload. */
  readonly checksum: string;
  /** What the put was answered with, if anything. */
  readonly etag: string | undefined;
  readonly answered: string | undefined;
}

/**
 * Asks the bucket what it holds: "200 OK" is a claim, this is the check.
 * @throws StorageError `size_mismatch` | `checksum_mismatch` | `unavailable`
 */
export async function confirmStored(write: S3Write, expected: Expected): Promise<void> {
  const { place, doing } = write;
  if (expected.answered !== undefined && contradicts(expected.answered, expected.checksum)) {
    throw storageError("checksum_mismatch", doing, { detail: `S3 confirmed checksum ${expected.answered}` });
  }
  const held = await headStored(write);
  if (held.ContentLength !== expected.sizeBytes) {
    const detail = `the bucket holds ${held.ContentLength} of ${expected.sizeBytes} bytes`;
    throw storageError("size_mismatch", doing, { detail });
  }
  const checksum = place.settings.checksums === "when_supported" ? held.ChecksumCRC32 : undefined;
  if (checksum !== undefined && contradicts(checksum, expected.checksum)) {
    throw storageError("checksum_mismatch", doing, { detail: `the bucket holds checksum ${checksum}` });
  }
  // without checksums the ETag at least says whether this is the object that was put
  if (checksum === undefined && expected.etag !== undefined && held.ETag !== expected.etag) {
    throw storageError("checksum_mismatch", doing, { detail: "the bucket holds another version" });
  }
}

async function headStored({ place, at, signal, doing }: S3Write) {
  const withChecksum = place.settings.checksums === "when_supported" && { ChecksumMode: "ENABLED" as const };
  const command = new HeadObjectCommand({ ...at, ...withChecksum });
  try {
    return await place.client.send(command, { abortSignal: signal });
  } catch (error) {
    if (readSdkFailure(error).status !== 404) throw error;
    const detail = "S3 accepted it and does not show it";
    throw storageError("unavailable", doing, { detail, cause: error });
  }
}

/** Only like can be compared with like: a store may turn a COMPOSITE checksum into one of the full object. */
function contradicts(theirs: string, ours: string): boolean {
  return theirs.includes("-") === ours.includes("-") && theirs !== ours;
}
