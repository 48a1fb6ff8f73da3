import { Readable } from "node:stream";
import { PutObjectCommand, type PutObjectCommandInput } from "@aws-sdk/client-s3";
import { Measure } from "../measure.ts";
import { asBytes, type BodyWatch, holdBody, isBodysOwn, isSource, readBody } from "../readBody.ts";
import type { BodySource, PutBody, PutOptions, StoredObject } from "../storage.ts";
import { abortedError } from "../storageError.ts";
import { confirmStored, type Expected } from "./confirmStored.ts";
import { cutIntoParts, partBytesFor } from "./cutIntoParts.ts";
import { feedRequest } from "./feedRequest.ts";
import { s3Error } from "./s3Error.ts";
import type { S3Place } from "./s3Place.ts";
import { beginWrite, type S3Write } from "./s3Write.ts";
import { uploadParts } from "./uploadParts.ts";
import { uploadSource } from "./uploadSource.ts";

/** Up to here a stream of known length is gathered first: then the SDK can repeat the request. */
const LARGEST_GATHERED_BYTES = 1024 * 1024;

export async function s3Put(
  place: S3Place,
  key: string,
  { body, options }: { body: PutBody; options: PutOptions },
): Promise<StoredObject> {
  const held = holdBody(body);
  try {
    const write = beginWrite(place, key, options);
    const stored = await sendBody(write, body instanceof Readable || isSource(body) ? body : asBytes(body), options);
    await confirmStored(write, stored);
    const { sizeBytes, sha256, etag } = stored;
    return { key, sizeBytes, sha256, ...(etag !== undefined && { etag }) };
  } catch (error) {
    const doing = place.doing("store", key);
    if (options.signal?.aborted) throw abortedError(doing, options.signal);
    throw isBodysOwn(body, error) ? error : s3Error(error, doing);
  } finally {
    held.release();
  }
}

/** Chooses by size and kind: bytes that lie in memory, one streamed request, or parts. */
async function sendBody(write: S3Write, body: Readable | BodySource | Buffer, options: PutOptions): Promise<Expected> {
  const measure = new Measure();
  const sizeBytes = options.sizeBytes ?? lengthOf(body);
  const { idleTimeoutMs, singlePutBytes } = write.place.settings;
  const watch: BodyWatch = { doing: write.doing, measure, sizeBytes, idleTimeoutMs, signal: write.signal };
  const single = sizeBytes !== undefined && sizeBytes <= singlePutBytes;
  if (single && body instanceof Buffer) return sendBytes(write, body, watch);
  if (single && sizeBytes > LARGEST_GATHERED_BYTES) return sendStream(write, body, { ...watch, sizeBytes });
  if (!single && isSource(body)) return uploadSource(write, body, watch);

  const spare: Buffer[] = [];
  const partBytes = partBytesFor(sizeBytes);
  const parts = cutIntoParts(readBody(body, watch), { partBytes, spare, sizeBytes });
  const first = (await parts.next()).value ?? Buffer.alloc(0);
  return first.length < partBytes
    ? sendGathered(write, first, measure) // what is not full is all there is
    : uploadParts(write, { first, rest: parts, spare, measure });
}

function lengthOf(body: Readable | BodySource | Buffer): number | undefined {
  if (body instanceof Buffer) return body.length;
  return isSource(body) ? body.sizeBytes : undefined;
}

async function sendBytes(write: S3Write, bytes: Buffer, watch: BodyWatch): Promise<Expected> {
  const pieces = readBody(bytes, watch);
  while (!(await pieces.next()).done);
  return sendGathered(write, bytes, watch.measure);
}

async function sendStream(write: S3Write, body: PutBody, watch: BodyWatch & { sizeBytes: number }): Promise<Expected> {
  const fed = feedRequest(readBody(body, watch), write.stop);
  try {
    const answer = await send(write, { Body: fed.stream, ContentLength: watch.sizeBytes });
    await fed.finish();
    const { sizeBytes, sha256, crc32 } = watch.measure.finish();
    return { sizeBytes, sha256, checksum: crc32, etag: answer.ETag, answered: answer.ChecksumCRC32 };
  } catch (error) {
    throw fed.failure() ?? error;
  }
}

async function sendGathered(write: S3Write, bytes: Buffer, measure: Measure): Promise<Expected> {
  const { sizeBytes, sha256, crc32 } = measure.finish();
  const answer = await send(write, { Body: bytes });
  return { sizeBytes, sha256, checksum: crc32, etag: answer.ETag, answered: answer.ChecksumCRC32 };
}

function send({ place, at, facts, signal }: S3Write, body: Pick<PutObjectCommandInput, "Body" | "ContentLength">) {
  return place.client.send(new PutObjectCommand({ ...at, ...facts, ...body }), { abortSignal: signal });
}
