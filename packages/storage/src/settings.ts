import { nowMs } from "./clock.ts";
import type { LinkOptions } from "./storage.ts";

/** How a store is opened; everything has a default. Options of the other kind of store are ignored. */
export interface StorageOptions {
  /** Region of the bucket; default is the AWS default chain, or `us-east-1` when `endpoint` is set. */
  readonly region?: string | undefined;
  /** Address of an S3 that is not AWS. */
  readonly endpoint?: string | undefined;
  /** The address customers reach it under, when that is another one: links are signed for this. */
  readonly linkEndpoint?: string | undefined;
  /** `/bucket/key` instead of `bucket.host/key`; default is true when `endpoint` is set. */
  readonly forcePathStyle?: boolean | undefined;
  /** Default is the AWS default chain: environment, profile, container, instance. */
  readonly credentials?: S3Credentials | undefined;
  /** `when_required` is for S3 clones that do not know today's checksums; sizes are still verified. */
  readonly checksums?: "when_supported" | "when_required" | undefined;
  /** How often one S3 request, or one part of a source, is tried; default 3. The caller repeats streamed puts. */
  readonly maxAttempts?: number | undefined;
  /** Up to here S3 gets a body of known length in one request, above it in parts; default 100 MB, as S3 advises. */
  readonly singlePutBytes?: number | undefined;
  /** Longest wait for a connection to S3, in ms; default 5000. */
  readonly connectTimeoutMs?: number | undefined;
  /** Longest time without a single byte moving, in ms; default 30000. */
  readonly idleTimeoutMs?: number | undefined;
  /** Where the API serves a folder's files, such as `http://127.0.0.1:8190/files`. */
  readonly linkBase?: string | undefined;
  /** Where the API takes what is uploaded into a folder by a link, such as `http://127.0.0.1:8190/v1/uploads`. */
  readonly uploadBase?: string | undefined;
  /** Signs a folder's links. The API verifies them with the same one: `verifyFolderLink`. */
  readonly linkSecret?: string | undefined;
  /** The wall clock, for links and sweeping. */
  readonly nowMs?: (() => number) | undefined;
}

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

/** `StorageOptions` with its defaults. */
export interface StorageSettings extends StorageOptions {
  readonly checksums: "when_supported" | "when_required";
  readonly maxAttempts: number;
  readonly singlePutBytes: number;
  readonly connectTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly nowMs: () => number;
}

const SINGLE_PUT_BYTES = 100_000_000;
const LONGEST_LINK_SECONDS = 7 * 24 * 60 * 60;

export function withDefaults(options: StorageOptions): StorageSettings {
  return {
    ...options,
    checksums: options.checksums ?? "when_supported",
    maxAttempts: options.maxAttempts ?? 3,
    singlePutBytes: options.singlePutBytes ?? SINGLE_PUT_BYTES,
    connectTimeoutMs: options.connectTimeoutMs ?? 5_000,
    idleTimeoutMs: options.idleTimeoutMs ?? 30_000,
    nowMs: options.nowMs ?? nowMs,
  };
}

/** Whole seconds a link lives: 1 hour unless said otherwise, 1 second to 7 days. */
export function linkTtlSeconds({ ttlSeconds = 3600 }: Pick<LinkOptions, "ttlSeconds">): number {
  return Math.min(Math.max(Math.floor(ttlSeconds), 1), LONGEST_LINK_SECONDS);
}

/** The file name in a key. */
export function lastSegment(key: string): string {
  return key.slice(key.lastIndexOf("/") + 1);
}
