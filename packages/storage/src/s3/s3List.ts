import {
  AbortMultipartUploadCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  type MultipartUpload,
} from "@aws-sdk/client-s3";
import { checkFolderPrefix } from "../checkKey.ts";
import type { ListedObject, ListOptions } from "../storage.ts";
import { abortedError, storageError } from "../storageError.ts";
import { readSdkFailure, s3Error } from "./s3Error.ts";
import type { S3Place } from "./s3Place.ts";

/** S3's largest page, and the most keys of one DeleteObjects. */
const PAGE_KEYS = 1000;

export async function* s3List(place: S3Place, prefix: string, options: ListOptions): AsyncGenerator<ListedObject> {
  const { limit = Number.POSITIVE_INFINITY, cursor, signal } = options;
  const doing = place.doing("list", prefix);
  const scope = { Bucket: place.bucket, Prefix: place.below(prefix) };
  const from = cursor === undefined ? {} : { StartAfter: place.below(cursor) };
  let token: string | undefined;
  let count = 0;
  try {
    do {
      const page = { MaxKeys: Math.min(PAGE_KEYS, limit - count), ...(token ? { ContinuationToken: token } : from) };
      if (page.MaxKeys <= 0) return;
      const command = new ListObjectsV2Command({ ...scope, ...page });
      const answer = await place.client.send(command, { ...(signal && { abortSignal: signal }) });
      for (const { Key = "", Size = 0, LastModified } of answer.Contents ?? []) {
        count += 1;
        yield { key: place.keyOf(Key), sizeBytes: Size, lastModifiedMs: LastModified?.getTime() ?? 0 };
      }
      token = answer.NextContinuationToken;
    } while (token !== undefined);
  } catch (error) {
    throw signal?.aborted ? abortedError(doing, signal) : s3Error(error, doing);
  }
}

export async function s3Remove(place: S3Place, key: string): Promise<void> {
  try {
    await place.client.send(new DeleteObjectCommand(place.at(key)));
  } catch (error) {
    throw s3Error(error, place.doing("remove", key));
  }
}

/** Page after page, so that a prefix of any size takes little memory. */
export async function s3RemovePrefix(place: S3Place, prefix: string): Promise<{ removed: number }> {
  checkFolderPrefix(prefix);
  let removed = 0;
  for (;;) {
    const keys: string[] = [];
    for await (const { key } of s3List(place, prefix, { limit: PAGE_KEYS })) keys.push(key);
    if (keys.length === 0) return { removed };
    await removeKeys(place, prefix, keys);
    removed += keys.length;
  }
}

/** Takes back multipart uploads that were begun before `oldestMs` and never ended. */
export async function s3Sweep(place: S3Place, oldestMs: number): Promise<{ removed: number }> {
  let removed = 0;
  try {
    for await (const { Key, UploadId, Initiated } of unfinished(place)) {
      if (Initiated === undefined || Initiated.getTime() > oldestMs) continue;
      await place.client.send(new AbortMultipartUploadCommand({ Bucket: place.bucket, Key, UploadId })).catch(ended);
      removed += 1;
    }
  } catch (error) {
    throw s3Error(error, place.doing("sweep"));
  }
  return { removed };
}

async function removeKeys(place: S3Place, prefix: string, keys: readonly string[]): Promise<void> {
  const doing = place.doing("remove all of", prefix);
  const Objects = keys.map((key) => ({ Key: place.at(key).Key }));
  try {
    const command = new DeleteObjectsCommand({ Bucket: place.bucket, Delete: { Objects, Quiet: true } });
    const [first] = (await place.client.send(command)).Errors ?? [];
    if (first) throw storageError("unavailable", doing, { detail: `S3 kept ${first.Key}: ${first.Code}` });
  } catch (error) {
    throw s3Error(error, doing);
  }
}

async function* unfinished(place: S3Place): AsyncGenerator<MultipartUpload> {
  let from: { KeyMarker?: string | undefined; UploadIdMarker?: string | undefined } = {};
  for (;;) {
    const command = new ListMultipartUploadsCommand({ Bucket: place.bucket, Prefix: place.below(""), ...from });
    const answer = await place.client.send(command);
    yield* answer.Uploads ?? [];
    if (!answer.IsTruncated) return;
    from = { KeyMarker: answer.NextKeyMarker, UploadIdMarker: answer.NextUploadIdMarker };
  }
}

/** Somebody completed or aborted it since it was listed. */
function ended(error: unknown): void {
  if (readSdkFailure(error).name !== "NoSuchUpload") throw error;
}
