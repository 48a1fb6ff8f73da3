import type { Readable } from "node:stream";

/** What can be stored. A stream is always used up or destroyed, also when the put fails. */
export type PutBody = Readable | BodySource | Uint8Array | string;

/** Bytes of a source: `start` included, `end` not. */
export interface ByteSpan {
  readonly start: number;
  readonly end: number;
}

/**
 * Bytes that can be read again, from anywhere: a file, or a server that honours ranges. A read that breaks off is gone on
 * with, and a part that the store did not take is read again, so that no part has to be kept in memory.
 */
export interface BodySource {
  readonly sizeBytes: number;
  /**
   * The same bytes every time. The stream may go on beyond the span: it is destroyed there.
   * @throws whatever ends the put when it comes again and again: it reaches the caller unchanged
   */
  open(span: ByteSpan, signal?: AbortSignal): Promise<Readable>;
}

export interface PutOptions {
  /** HTML, SVG, XML and scripts are stored as `application/octet-stream`: see `safeContentType`. */
  readonly contentType: string;
  /** Exact length if it is known: it is verified, and saves S3 a multipart upload up to 100 MB. */
  readonly sizeBytes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Kept by S3 only; a folder's links carry `downloadName` instead. */
  readonly contentDisposition?: string | undefined;
}

export interface PutIfAbsentOptions {
  readonly contentType: string;
  readonly signal?: AbortSignal | undefined;
}

/** What was stored, measured on the way. */
export interface StoredObject {
  readonly key: string;
  readonly sizeBytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
  readonly etag?: string;
}

export interface GetOptions {
  /** Both ends included, as in HTTP; `end` left out means to the last byte. */
  readonly range?: { readonly start: number; readonly end?: number | undefined } | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ObjectFacts {
  readonly key: string;
  /** Size of the whole object. */
  readonly totalBytes: number;
  readonly contentType: string;
  readonly etag?: string;
  readonly lastModifiedMs: number;
}

export interface FetchedObject extends ObjectFacts {
  /** Read it to its end or destroy it. Fails with StorageError `slow`, `size_mismatch`, `checksum_mismatch`, … */
  readonly body: Readable;
  /** Bytes of `body`: less than `totalBytes` when a range was asked. */
  readonly sizeBytes: number;
}

export interface LinkOptions {
  /** Default 3600; at most 7 days (S3's own limit), more is cut down to that. */
  readonly ttlSeconds?: number | undefined;
  /** Name of the downloaded file; default is the last segment of the key. */
  readonly downloadName?: string | undefined;
  /** Type the link answers with; made safe like that of `put`. Default is the stored one. */
  readonly contentType?: string | undefined;
}

/** A link that anybody may use until it expires. It always downloads (`Content-Disposition: attachment`). */
export interface StorageLink {
  readonly url: string;
  readonly expiresAtMs: number;
}

export interface UploadLinkOptions {
  /** Exact length of what will be stored: nothing else is taken. */
  readonly sizeBytes: number;
  /** Default 3600; at most 7 days. */
  readonly ttlSeconds?: number | undefined;
}

/** A link that stores one object, for whoever has it, until it expires: a PUT of the bytes, with these headers. */
export interface UploadLink extends StorageLink {
  readonly method: "PUT";
  readonly headers: Readonly<Record<string, string>>;
}

export interface ListOptions {
  readonly limit?: number | undefined;
  /** Lists only what comes after this key: the last one of the page before. */
  readonly cursor?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ListedObject {
  readonly key: string;
  readonly sizeBytes: number;
  readonly lastModifiedMs: number;
}

/**
 * One place for objects: a folder or a bucket. Keys are relative to it: 1 to 1024 bytes, segments joined by `/`, see
 * `checkKey`. Every method throws StorageError; the codes named here are those a caller may want to decide on.
 */
export interface Storage {
  readonly kind: "folder" | "s3";
  /** `file:///folder` or `s3://bucket/prefix`: safe to show, no credentials in it. */
  readonly place: string;
  /**
   * Stores an object, replacing what stood there. When it returns, the object is durable and its size and checksum have
   * been confirmed by the store. Nothing becomes visible when it throws, except that a store that answers wrongly
   * (`checksum_mismatch`, `size_mismatch`) may hold anything under this key.
   * @throws the body's own error when the body fails
   */
  put(key: string, body: PutBody, options: PutOptions): Promise<StoredObject>;
  /**
   * Stores an object only if there is none. Of many callers exactly one gets `created: true`.
   * After a lost connection `false` may stand for the caller's own earlier try: read the object to know.
   */
  putIfAbsent(
    key: string,
    body: Uint8Array | string,
    options: PutIfAbsentOptions,
  ): Promise<{ readonly created: boolean }>;
  /**
   * Makes a second object of the same bytes and type, replacing what stood there, and confirms its size. The store does it
   * itself (a hard link in a folder, CopyObject in a bucket); objects over 5 GB in a bucket pass through this process.
   * Removing or replacing either one later does not touch the other.
   * @returns the copy
   * @throws StorageError `not_found`
   */
  copy(fromKey: string, toKey: string, options?: { readonly signal?: AbortSignal | undefined }): Promise<ObjectFacts>;
  /** @throws StorageError `not_found` | `range_not_satisfiable` */
  get(key: string, options?: GetOptions): Promise<FetchedObject>;
  /** `undefined` when there is no such object; a missing bucket is an error, not an absence. */
  head(key: string, options?: { readonly signal?: AbortSignal | undefined }): Promise<ObjectFacts | undefined>;
  /** Does not look whether the object is there. @throws StorageError `not_configured` when a folder has no link base */
  link(key: string, options?: LinkOptions): Promise<StorageLink>;
  /**
   * A link that stores an object of exactly that size under the key. What comes by it has no type of its own, and may be
   * replaced by the same link until it expires. @throws StorageError `not_configured` when a folder has no upload base
   */
  uploadLink(key: string, options: UploadLinkOptions): Promise<UploadLink>;
  /** Objects whose keys begin with `prefix` ("" for all), in the order of the keys' bytes. */
  list(prefix: string, options?: ListOptions): AsyncIterable<ListedObject>;
  /** Safe to repeat: removing what is not there is no error. */
  remove(key: string): Promise<void>;
  /** Removes everything below a prefix, which must end in `/`: `jobs/1` would take `jobs/10` with it. */
  removePrefix(prefix: string): Promise<{ readonly removed: number }>;
  /** Takes away what killed writers left: unfinished multipart uploads or drafts older than `olderThanMs`. */
  sweep(options: { readonly olderThanMs: number }): Promise<{ readonly removed: number }>;
  /** Stores, seals, reads back and removes a probe object. @throws StorageError that says what is wrong */
  check(): Promise<void>;
  /** Closes idle connections. Calls still running may fail. */
  close(): Promise<void>;
}
