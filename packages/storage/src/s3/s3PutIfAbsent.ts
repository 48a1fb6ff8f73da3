import { buffer } from "node:stream/consumers";
import { PutObjectCommand } from "@aws-sdk/client-s3";
import { sleep } from "../clock.ts";
import { safeContentType } from "../contentTypeOf.ts";
import { asBytes } from "../readBody.ts";
import type { PutIfAbsentOptions } from "../storage.ts";
import { abortedError, storageError } from "../storageError.ts";
import { readSdkFailure, s3Error } from "./s3Error.ts";
import { s3Get, s3Head } from "./s3Get.ts";
import type { S3Place } from "./s3Place.ts";

/** S3 answers 409 while another conditional write of the same key is under way; they last milliseconds. */
const MOST_CONFLICTS = 5;
const FIRST_WAIT_MS = 50;

/** A conditional put: `If-None-Match: *`. Source: S3 API reference, PutObject. */
export async function s3PutIfAbsent(
  place: S3Place,
  key: string,
  { body, options }: { body: Uint8Array | string; options: PutIfAbsentOptions },
): Promise<{ created: boolean }> {
  const bytes = asBytes(body);
  const doing = place.doing("seal", key);
  const facts = { ...place.at(key), ContentType: safeContentType(options.contentType), IfNoneMatch: "*" };
  const { signal } = options;
  try {
    for (let conflicts = 0; ; conflicts++) {
      try {
        await place.client.send(new PutObjectCommand({ ...facts, Body: bytes }), {
          ...(signal && { abortSignal: signal }),
        });
        await confirmSeal(place, { key, sizeBytes: bytes.length, signal });
        return { created: true };
      } catch (error) {
        const { status, attempts } = readSdkFailure(error);
        // after a lost answer the SDK tried again and met our own object
        if (status === 412) return { created: attempts > 1 && (await holds(place, key, bytes)) };
        if (status !== 409) throw error;
        if (conflicts === MOST_CONFLICTS) return await decideConflict(place, key, error);
      }
      await sleep(FIRST_WAIT_MS * 2 ** conflicts, signal);
    }
  } catch (error) {
    throw signal?.aborted ? abortedError(doing, signal) : s3Error(error, doing);
  }
}

interface Seal {
  readonly key: string;
  readonly sizeBytes: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * "200 OK" is a claim: the bucket is asked what it holds. Whoever meets the error tries again, and finds the seal.
 * @throws StorageError `unavailable` | `size_mismatch`
 */
async function confirmSeal(place: S3Place, { key, sizeBytes, signal }: Seal): Promise<void> {
  const held = await s3Head(place, key, { signal });
  const doing = place.doing("seal", key);
  if (!held) throw storageError("unavailable", doing, { detail: "S3 accepted it and does not show it" });
  if (held.totalBytes === sizeBytes) return;
  throw storageError("size_mismatch", doing, { detail: `the bucket holds ${held.totalBytes} of ${sizeBytes} bytes` });
}

async function decideConflict(place: S3Place, key: string, conflict: unknown): Promise<{ created: false }> {
  if (await s3Head(place, key, {})) return { created: false };
  throw conflict;
}

async function holds(place: S3Place, key: string, bytes: Buffer): Promise<boolean> {
  const { body, totalBytes } = await s3Get(place, key, {});
  if (totalBytes !== bytes.length) {
    body.destroy();
    return false;
  }
  return (await buffer(body)).equals(bytes);
}
