import { crc32 } from "node:zlib";
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { encodeCrc32, type Measure } from "../measure.ts";
import { storageError } from "../storageError.ts";
import type { Expected } from "./confirmStored.ts";
import { MOST_PARTS } from "./cutIntoParts.ts";
import { readSdkFailure } from "./s3Error.ts";
import type { S3Write } from "./s3Write.ts";

/** Parts under way at once: enough to hide an answer's delay, and two buffers of memory. */
const PARALLEL_PARTS = 2;
/** Taking an upload back must not hang longer than the failure it follows. */
const LONGEST_ABORT_MS = 15_000;

/** The parts of a body, and where to put their buffers when they are sent. */
export interface PartSource {
  readonly first: Buffer;
  readonly rest: AsyncGenerator<Buffer, undefined>;
  readonly spare: Buffer[];
  readonly measure: Measure;
}

interface Upload {
  readonly write: S3Write;
  readonly uploadId: string;
  readonly withChecksums: boolean;
  readonly sent: SentPart[];
}

interface SentPart extends CompletedPart {
  readonly PartNumber: number;
  readonly crc32: number;
}

/**
 * A multipart upload. The next parts are read while others are sent; a failure of any stops all, and takes the upload
 * back before it is told: nothing stays in the bucket that somebody would have to pay for.
 */
export async function uploadParts(write: S3Write, source: PartSource): Promise<Expected> {
  const upload = await begin(write);
  try {
    await sendAll(upload, source);
    const answer = await complete(upload);
    const { sizeBytes, sha256 } = source.measure.finish();
    const checksum = compositeCrc32(upload.sent);
    return { sizeBytes, sha256, checksum, etag: answer?.ETag, answered: answer?.ChecksumCRC32 };
  } catch (error) {
    await takeBack(upload);
    throw error;
  }
}

async function begin(write: S3Write): Promise<Upload> {
  const { place, at, facts, signal, doing } = write;
  const withChecksums = place.settings.checksums === "when_supported";
  const input = { ...at, ...facts, ...(withChecksums && { ChecksumAlgorithm: "CRC32" as const }) };
  const { UploadId } = await place.client.send(new CreateMultipartUploadCommand(input), { abortSignal: signal });
  if (UploadId === undefined) throw storageError("unavailable", doing, { detail: "S3 began an upload without an id" });
  return { write, uploadId: UploadId, withChecksums, sent: [] };
}

async function sendAll(upload: Upload, { first, rest, spare }: PartSource): Promise<void> {
  const parts = numbered(first, rest);
  let failure: { error: unknown } | undefined;
  const lane = async () => {
    try {
      for (let next = await parts.next(); !next.done; next = await parts.next()) {
        await sendPart(upload, next.value);
        spare.push(next.value.bytes);
      }
    } catch (error) {
      // the first failure is the reason, what it stops is not
      failure ??= { error };
      upload.write.stop(error);
    }
  };
  await Promise.all(Array.from({ length: PARALLEL_PARTS }, lane));
  if (failure) throw failure.error;
  upload.sent.sort((a, b) => a.PartNumber - b.PartNumber);
}

async function* numbered(first: Buffer, rest: AsyncGenerator<Buffer, undefined>) {
  let number = 1;
  yield { number, bytes: first };
  for await (const bytes of rest) {
    number += 1;
    yield { number, bytes };
  }
}

async function sendPart(upload: Upload, { number, bytes }: { number: number; bytes: Buffer }): Promise<void> {
  const { place, at, signal, doing } = upload.write;
  if (number > MOST_PARTS) {
    throw storageError("unsupported", doing, { detail: `S3 takes ${MOST_PARTS} parts; announce the size beforehand` });
  }
  const sum = crc32(bytes);
  const ChecksumCRC32 = encodeCrc32(sum);
  const part = { ...at, UploadId: upload.uploadId, PartNumber: number };
  const input = { ...part, Body: bytes, ...(upload.withChecksums && { ChecksumCRC32 }) };
  const answer = await place.client.send(new UploadPartCommand(input), { abortSignal: signal });
  if (answer.ChecksumCRC32 !== undefined && answer.ChecksumCRC32 !== ChecksumCRC32) {
    throw storageError("checksum_mismatch", doing, { detail: `S3 confirmed another checksum for part ${number}` });
  }
  upload.sent.push({
    PartNumber: number,
    ETag: answer.ETag,
    crc32: sum,
    ...(upload.withChecksums && { ChecksumCRC32 }),
  });
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
