import { GetObjectCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import { attachmentHeader } from "../attachmentHeader.ts";
import { checkStorage } from "../checkStorage.ts";
import { safeContentType } from "../contentTypeOf.ts";
import { lastSegment, linkTtlSeconds, type StorageSettings } from "../settings.ts";
import type { LinkOptions, Storage, StorageLink, UploadLink, UploadLinkOptions } from "../storage.ts";
import { s3Copy } from "./s3Copy.ts";
import { s3Error } from "./s3Error.ts";
import { s3Get, s3Head } from "./s3Get.ts";
import { s3List, s3Remove, s3RemovePrefix, s3Sweep } from "./s3List.ts";
import { S3Place } from "./s3Place.ts";
import { s3Put } from "./s3Put.ts";
import { s3PutIfAbsent } from "./s3PutIfAbsent.ts";

/** A store in a bucket, below a prefix without slashes at its ends ("" for the whole bucket). */
export function openS3({ bucket, prefix }: { bucket: string; prefix: string }, settings: StorageSettings): Storage {
  const place = new S3Place(bucket, prefix, settings);
  const storage: Storage = {
    kind: "s3",
    place: place.place,
    put: (key, body, options) => s3Put(place, key, { body, options }),
    putIfAbsent: (key, body, options) => s3PutIfAbsent(place, key, { body, options }),
    copy: (from, to, options = {}) => s3Copy(place, { from, to, ...options }),
    get: (key, options = {}) => s3Get(place, key, options),
    head: (key, options = {}) => s3Head(place, key, options),
    link: (key, options = {}) => s3Link(place, key, options),
    uploadLink: (key, options) => s3UploadLink(place, key, options),
    list: (prefix, options = {}) => s3List(place, prefix, options),
    remove: (key) => s3Remove(place, key),
    removePrefix: (prefix) => s3RemovePrefix(place, prefix),
    sweep: ({ olderThanMs }) => s3Sweep(place, settings.nowMs() - olderThanMs),
    check: () => checkStorage(storage),
    close: async () => place.close(),
  };
  return storage;
}

async function s3Link(place: S3Place, key: string, options: LinkOptions): Promise<StorageLink> {
  const expiresIn = linkTtlSeconds(options);
  const signedAtMs = place.settings.nowMs();
  const command = new GetObjectCommand({
    ...place.at(key),
    ResponseContentDisposition: attachmentHeader(options.downloadName ?? lastSegment(key)),
    ...(options.contentType !== undefined && { ResponseContentType: safeContentType(options.contentType) }),
  });
  try {
    const url = await getSignedUrl(place.signer, command, { expiresIn, signingDate: new Date(signedAtMs) });
    // S3 counts from the signature's whole second
    return { url, expiresAtMs: Math.floor(signedAtMs / 1000) * 1000 + expiresIn * 1000 };
  } catch (error) {
    throw s3Error(error, place.doing("link", key));
  }
}

async function s3UploadLink(
  place: S3Place,
  key: string,
  { sizeBytes, ...options }: UploadLinkOptions,
): Promise<UploadLink> {
  const expiresIn = linkTtlSeconds(options);
  const signedAtMs = place.settings.nowMs();
  // Signed along: the length, so that nothing larger is stored; and a type that no browser shows.
  const command = new PutObjectCommand({ ...place.at(key), ContentLength: sizeBytes, ContentType: UPLOAD_TYPE });
  const signableHeaders = new Set(["host", "content-length", "content-type"]);
  try {
    const signing = { expiresIn, signingDate: new Date(signedAtMs), signableHeaders };
    const url = await getSignedUrl(place.signer, command, signing);
    const expiresAtMs = Math.floor(signedAtMs / 1000) * 1000 + expiresIn * 1000;
    return { url, method: "PUT", headers: { "Content-Type": UPLOAD_TYPE }, expiresAtMs };
  } catch (error) {
    throw s3Error(error, place.doing("link", key));
  }
}

const UPLOAD_TYPE = "application/octet-stream";
