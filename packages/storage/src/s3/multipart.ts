import { crc32 } from "node:zlib";
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
} from "@aws-sdk/client-s3";
import { encodeCrc32, type Measure } from "../measure.ts";
import { storageError } from "../storageError.ts";
import type { Expected } from "./confirmStored.ts";
import { readSdkFailure } from "./s3Error.ts";
import type { S3Write } from "./s3Write.ts";

/** Taking an upload back must not hang longer than the failure it follows. */
const LONGEST_ABORT_MS = 15_000;

/** A multipart upload that has begun. */
export interface Upload {
  readonly write: S3Write;
  readonly uploadId: string;
  readonly withChecksums: boolean;
  /** In any order. */
  readonly sent: SentPart[];
}

interface SentPart extends CompletedPart {
  readonly PartNumber: number;
  readonly crc32: number;
}

/**
 * Begins an upload, sends its parts, and completes it. A failure takes the upload back before it is told: nothing stays in
 * the bucket that somebody would have to pay for.
 * @param measure has seen every byte, in order, when `send` ends
 */
export async function inOneUpload(
  write: S3Write,
  measure: Measure,
  send: (upload: Upload) => Promise<void>,
): Promise<Expected> {
  const upload = await begin(write);
  try {
    await send(upload);
    upload.sent.sort((a, b) => a.PartNumber - b.PartNumber);
    const answer = await complete(upload);
    const { sizeBytes, sha256 } = measure.finish();
    const checksum = compositeCrc32(upload.sent);
    return { sizeBytes, sha256, checksum, etag: answer?.ETag, answered: answer?.ChecksumCRC32 };
  } catch (error) {
    await takeBack(upload);
    throw error;
  }
}

/**
 * Notes a part that S3 has taken.
 * @param answered the checksum S3 answered with, if it did
 * @throws StorageError `checksum_mismatch`
 */
export function noteSent(
  { write, withChecksums, sent }: Upload,
  part: { readonly number: number; readonly crc32: number; readonly etag: string | undefined },
  answered: string | undefined,
): void {
  const ChecksumCRC32 = encodeCrc32(part.crc32);
  if (answered !== undefined && answered !== ChecksumCRC32) {
    const detail = `S3 confirmed another checksum for part ${part.number}`;
    throw storageError("checksum_mismatch", write.doing, { detail });
  }
  const shown = withChecksums && { ChecksumCRC32 };
  sent.push({ PartNumber: part.number, ETag: part.etag, crc32: part.crc32, ...shown });
}

async function begin(write: S3Write): Promise<Upload> {
  const { place, at, facts, signal, doing } = write;
  const withChecksums = place.settings.checksums === "when_supported";
  const input = { ...at, ...facts, ...(withChecksums && { ChecksumAlgorithm: "CRC32" as const }) };
  const { UploadId } = await place.client.send(new CreateMultipartUploadCommand(input), { abortSignal: signal });
  if (UploadId === undefined) throw storageError("unavailable", doing, { detail: "S3 began an upload without an id" });
  return { write, uploadId: UploadId, withChecksums, sent: [] };
}

/** Returns `undefined` when the upload is gone: an earlier try may have succeeded unheard, and HEAD will tell. */
async function complete({ write, uploadId, sent }: Upload) {
  const { place, at, signal } = write;
  const Parts = sent.map(({ PartNumber, ETag, ChecksumCRC32 }) => ({ PartNumber, ETag, ChecksumCRC32 }));
  const input = { ...at, UploadId: uploadId, MultipartUpload: { Parts } };
  try {
    return await place.client.send(new CompleteMultipartUploadCommand(input), { abortSignal: signal });
  } catch (error) {
    const { name, attempts } = readSdkFailure(error);
    if (name === "NoSuchUpload" && attempts > 1) return undefined;
    throw error;
  }
}

/** A store that does not let us take it back leaves it to `sweep`: the first failure is the one to tell. */
async function takeBack({ write, uploadId }: Upload): Promise<void> {
  const command = new AbortMultipartUploadCommand({ ...write.at, UploadId: uploadId });
  await write.place.client.send(command, { abortSignal: AbortSignal.timeout(LONGEST_ABORT_MS) }).catch(() => {});
}

/** What S3 calls a COMPOSITE checksum: the CRC-32 of the parts' CRC-32s, and their number. */
function compositeCrc32(parts: readonly SentPart[]): string {
  const sums = Buffer.concat(parts.map((part) => Buffer.from(encodeCrc32(part.crc32), "base64")));
  return `${encodeCrc32(crc32(sums))}-${parts.length}`;
}
