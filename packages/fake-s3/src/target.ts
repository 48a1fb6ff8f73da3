import type { IncomingMessage } from "node:http";
import type { Dialect } from "./dialect.ts";
import { FakeS3Error } from "./fakeS3Error.ts";
import { decode, parseQuery, type QueryPair } from "./query.ts";

/** What a request is about, before anybody has checked whether it may. */
export interface Target {
  readonly method: string;
  /** Decoded path as it was sent, for the signature. */
  readonly path: string;
  readonly pairs: readonly QueryPair[];
  readonly query: ReadonlyMap<string, string>;
  /** Lower-case names; repeated headers are joined with `, `. */
  readonly headers: Readonly<Record<string, string>>;
  /** "" when the request is about the whole account. */
  readonly bucket: string;
  /** "" when the request is about the whole bucket. */
  readonly key: string;
}

/** S3's own limit. */
const LONGEST_KEY_BYTES = 1024;

/**
 * Reads bucket and key from the path (`/bucket/key`) or from the host (`bucket.localhost`; MinIO has
 * none unless it is told its own name).
 * The path is taken as it came, never normalised: `..` and `//` are ordinary characters of a key.
 */
export function readTarget(request: IncomingMessage, dialect: Dialect): Target {
  const [rawPath = "/", rawQuery = ""] = splitOnce(request.url ?? "/", "?");
  const pairs = parseQuery(rawQuery);
  const headers = readHeaders(request, pairs);
  const path = decode(rawPath);
  const { bucket, key } = locate(path, dialect === "minio" ? "" : (headers["host"] ?? ""));
  if (Buffer.byteLength(key) > LONGEST_KEY_BYTES) throw new FakeS3Error("KeyTooLongError", "Your key is too long");
  return { method: request.method ?? "GET", path, pairs, query: new Map(pairs), headers, bucket, key };
}

/** A presigned link carries its `x-amz-…` headers in the query, and they count as headers. */
function readHeaders(request: IncomingMessage, pairs: readonly QueryPair[]): Record<string, string> {
  const hoisted = pairs.filter(([name]) => name.toLowerCase().startsWith("x-amz-"));
  return Object.fromEntries([
    ...hoisted.map(([name, value]) => [name.toLowerCase(), value]),
    ...Object.entries(request.headers).map(([name, value]) => [name, String(value)]),
  ]);
}

function locate(path: string, host: string): { bucket: string; key: string } {
  const virtual = /^(.+)\.localhost(?::\d+)?$/.exec(host)?.[1];
  if (virtual !== undefined) return { bucket: virtual, key: path.slice(1) };
  const [bucket = "", key = ""] = splitOnce(path.slice(1), "/");
  return { bucket, key };
}

function splitOnce(text: string, separator: string): readonly string[] {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}
