import { FakeS3Error } from "./fakeS3Error.ts";
import type { S3Operation } from "./operation.ts";
import type { Part } from "./world.ts";

/**
 * Whose S3 this server behaves like. `aws` knows everything here; `minio` has buckets in the path only; `r2` knows no
 * checksum headers or trailers, and wants parts of one size; `old` knows no aws-chunked bodies at all, and does not see
 * conditions of a write.
 */
export const DIALECTS = ["aws", "minio", "r2", "old"] as const;
export type Dialect = (typeof DIALECTS)[number];

interface Asked {
  readonly operation: S3Operation;
  readonly headers: Readonly<Record<string, string>>;
  /** `x-amz-content-sha256`. */
  readonly payloadHash: string;
}

const WRITES: readonly S3Operation[] = ["CreateMultipartUpload", "PutObject", "UploadPart"];

/** @throws FakeS3Error `NotImplemented` for what this kind of store answers with 501 */
export function checkDialect(dialect: Dialect, { operation, headers, payloadHash }: Asked): void {
  if (!WRITES.includes(operation) || dialect === "aws" || dialect === "minio") return;
  const isRefusedBody = dialect === "r2" ? payloadHash.endsWith("-TRAILER") : payloadHash.startsWith("STREAMING-");
  if (isRefusedBody) throw new FakeS3Error("NotImplemented", `${payloadHash} is not implemented`);
  const checksum = Object.keys(headers).find((name) => /^x-amz-(checksum-|trailer$)/.test(name));
  if (checksum) throw new FakeS3Error("NotImplemented", `Header '${checksum}' is not implemented`);
}

/** Does it heed `If-None-Match` and `If-Match` of a write? */
export function knowsConditions(dialect: Dialect): boolean {
  return dialect !== "old";
}

/** @throws FakeS3Error `InvalidPart` where all parts but the last must have one size */
export function checkPartSizes(dialect: Dialect, parts: readonly Part[]): void {
  const first = parts[0]?.blob.sizeBytes ?? 0;
  if (dialect !== "r2" || parts.slice(0, -1).every(({ blob }) => blob.sizeBytes === first)) return;
  throw new FakeS3Error("InvalidPart", "All non-trailing parts must have the same length.");
}
