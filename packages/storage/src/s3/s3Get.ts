import { Readable } from "node:stream";
import {
  GetObjectCommand,
  type GetObjectCommandOutput,
  HeadBucketCommand,
  HeadObjectCommand,
  type HeadObjectCommandOutput,
} from "@aws-sdk/client-s3";
import { guardBody } from "../guardBody.ts";
import { checkRange } from "../resolveRange.ts";
import type { FetchedObject, GetOptions, ObjectFacts } from "../storage.ts";
import { abortedError, type Doing, storageError } from "../storageError.ts";
import { readSdkFailure, s3Error } from "./s3Error.ts";
import type { S3Place } from "./s3Place.ts";

export async function s3Get(place: S3Place, key: string, { range, signal }: GetOptions): Promise<FetchedObject> {
  const doing = place.doing("read", key);
  if (range) checkRange(range, doing);
  const input = { ...place.at(key), ...(range && { Range: `bytes=${range.start}-${range.end ?? ""}` }) };
  try {
    const answer = await place.reader.send(new GetObjectCommand(input), { ...(signal && { abortSignal: signal }) });
    const sizeBytes = answer.ContentLength ?? 0;
    if (!(answer.Body instanceof Readable)) throw storageError("unavailable", doing, { detail: "S3 sent no body" });
    const { idleTimeoutMs } = place.settings;
    const translate = (error: unknown) => s3Error(error, doing);
    const body = guardBody(answer.Body, { doing, sizeBytes, idleTimeoutMs, signal, translate });
    return { ...factsOf(key, answer, totalOf(answer)), body, sizeBytes };
  } catch (error) {
    throw signal?.aborted ? abortedError(doing, signal) : s3Error(error, doing);
  }
}

export async function s3Head(
  place: S3Place,
  key: string,
  { signal }: { signal?: AbortSignal | undefined },
): Promise<ObjectFacts | undefined> {
  const doing = place.doing("look at", key);
  try {
    const command = new HeadObjectCommand(place.at(key));
    const answer = await place.client.send(command, { ...(signal && { abortSignal: signal }) });
    return factsOf(key, answer, answer.ContentLength ?? 0);
  } catch (error) {
    if (readSdkFailure(error).status !== 404)
      throw signal?.aborted ? abortedError(doing, signal) : s3Error(error, doing);
    // HEAD has no body to say which of the two is missing
    await assertBucket(place, doing);
    return undefined;
  }
}

/** @throws StorageError `bucket_missing` when S3 says so; a bucket we may not look at is taken to be there */
async function assertBucket(place: S3Place, doing: Doing): Promise<void> {
  if (place.bucketSeen) return;
  try {
    await place.client.send(new HeadBucketCommand({ Bucket: place.bucket }));
    place.bucketSeen = true;
  } catch (error) {
    const { status } = readSdkFailure(error);
    if (status === 404)
      throw storageError("bucket_missing", doing, { detail: "there is no such bucket", cause: error });
    if (status !== 403) throw s3Error(error, doing);
  }
}

function factsOf(
  key: string,
  answer: GetObjectCommandOutput | HeadObjectCommandOutput,
  totalBytes: number,
): ObjectFacts {
  return {
    key,
    totalBytes,
    contentType: answer.ContentType ?? "application/octet-stream",
    ...(answer.ETag !== undefined && { etag: answer.ETag }),
    lastModifiedMs: answer.LastModified?.getTime() ?? 0,
  };
}

/** `bytes 0-9/100` after a range, else the length. */
function totalOf(answer: GetObjectCommandOutput): number {
  const total = /\/(\d+)$/.exec(answer.ContentRange ?? "")?.[1];
  return total === undefined ? (answer.ContentLength ?? 0) : Number(total);
}
