import { crc32 } from "node:zlib";
import { UploadPartCommand } from "@aws-sdk/client-s3";
import { encodeCrc32, type Measure } from "../measure.ts";
import { storageError } from "../storageError.ts";
import type { Expected } from "./confirmStored.ts";
import { MOST_PARTS } from "./cutIntoParts.ts";
import { inOneUpload, noteSent, type Upload } from "./multipart.ts";
import type { S3Write } from "./s3Write.ts";

/** Parts under way at once: enough to hide an answer's delay, and two buffers of memory. */
const PARALLEL_PARTS = 2;

/** The parts of a body, and where to put their buffers when they are sent. */
export interface PartSource {
  readonly first: Buffer;
  readonly rest: AsyncGenerator<Buffer, undefined>;
  readonly spare: Buffer[];
  readonly measure: Measure;
}

/** A body that can be read once, part by part. The next parts are read while others are sent; a failure of any stops all. */
export function uploadParts(write: S3Write, source: PartSource): Promise<Expected> {
  return inOneUpload(write, source.measure, (upload) => sendAll(upload, source));
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
  const part = { ...at, UploadId: upload.uploadId, PartNumber: number };
  const input = { ...part, Body: bytes, ...(upload.withChecksums && { ChecksumCRC32: encodeCrc32(sum) }) };
  const answer = await place.client.send(new UploadPartCommand(input), { abortSignal: signal });
  noteSent(upload, { number, crc32: sum, etag: answer.ETag }, answer.ChecksumCRC32);
}
