import { CopyObjectCommand } from "@aws-sdk/client-s3";
import type { ObjectFacts } from "../storage.ts";
import { abortedError, storageError } from "../storageError.ts";
import { readSdkFailure, s3Error } from "./s3Error.ts";
import { s3Get, s3Head } from "./s3Get.ts";
import type { S3Place } from "./s3Place.ts";
import { s3Put } from "./s3Put.ts";

/** S3 copies up to here in one request (S3 API reference, CopyObject). */
const LARGEST_COPY_BYTES = 5 * 1024 ** 3;

/** From where to where, and the caller's way out. */
export interface CopyWish {
  readonly from: string;
  readonly to: string;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The bucket copies by itself, bound to the version that was looked at; what is larger than it copies in one request, and
 * every object of a store that has no such request, goes through this process.
 */
export async function s3Copy(place: S3Place, wish: CopyWish): Promise<ObjectFacts> {
  const doing = place.doing("copy", wish.from);
  try {
    place.at(wish.to);
    const source = await s3Head(place, wish.from, wish);
    if (!source) throw storageError("not_found", doing, { detail: "there is no such object" });
    if (wish.from === wish.to) return source;
    await copyOrCarry(place, wish, source);
    const copy = await s3Head(place, wish.to, wish);
    if (copy?.totalBytes === source.totalBytes) return copy;
    const detail = `the copy "${wish.to}" has ${copy?.totalBytes ?? "none"} of ${source.totalBytes} bytes`;
    throw storageError("size_mismatch", doing, { detail });
  } catch (error) {
    throw wish.signal?.aborted ? abortedError(doing, wish.signal) : s3Error(error, doing);
  }
}

async function copyOrCarry(place: S3Place, wish: CopyWish, source: ObjectFacts): Promise<void> {
  if (source.totalBytes > LARGEST_COPY_BYTES) return carry(place, wish, source);
  const { Bucket, Key } = place.at(wish.from);
  const command = new CopyObjectCommand({
    ...place.at(wish.to),
    CopySource: [Bucket, ...Key.split("/")].map(encodeURIComponent).join("/"),
    ...(source.etag !== undefined && { CopySourceIfMatch: source.etag }),
  });
  try {
    await place.client.send(command, { ...(wish.signal && { abortSignal: wish.signal }) });
  } catch (error) {
    const { status } = readSdkFailure(error);
    if (status === 501) return carry(place, wish, source);
    if (status !== 412) throw error;
    const detail = "it was replaced while it was copied";
    throw storageError("unavailable", place.doing("copy", wish.from), { detail, cause: error });
  }
}

async function carry(place: S3Place, { from, to, signal }: CopyWish, source: ObjectFacts): Promise<void> {
  const { body, totalBytes } = await s3Get(place, from, { signal });
  const options = { contentType: source.contentType, sizeBytes: totalBytes, signal };
  await s3Put(place, to, { body, options });
}
