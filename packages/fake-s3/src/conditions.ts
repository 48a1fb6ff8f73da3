import { FakeS3Error } from "./fakeS3Error.ts";
import type { ObjectRecord } from "./objectIndex.ts";

type Headers = Readonly<Record<string, string>>;

/**
 * `If-None-Match: *` and `If-Match` of a write. Call it in the same turn that changes the bucket: that makes it atomic.
 * @throws FakeS3Error `PreconditionFailed` | `NoSuchKey` | `NotImplemented`
 */
export function checkWriteConditions(headers: Headers, standing: ObjectRecord | undefined): void {
  const noneMatch = headers["if-none-match"];
  if (noneMatch !== undefined && noneMatch !== "*") {
    throw new FakeS3Error("NotImplemented", "If-None-Match of a write must be *");
  }
  if (noneMatch === "*" && standing) refuse();
  const match = headers["if-match"];
  if (match !== undefined && !standing) throw new FakeS3Error("NoSuchKey", "The specified key does not exist.");
  if (match !== undefined && standing && !matches(match, standing)) refuse();
}

/** `If-Match` and `If-None-Match` of a read. @throws FakeS3Error `PreconditionFailed` */
export function checkReadConditions(headers: Headers, record: ObjectRecord): "send" | "not_modified" {
  const match = headers["if-match"];
  if (match !== undefined && !matches(match, record)) refuse();
  const noneMatch = headers["if-none-match"];
  return noneMatch !== undefined && matches(noneMatch, record) ? "not_modified" : "send";
}

function matches(header: string, record: ObjectRecord): boolean {
  return header.split(",").some((tag) => tag.trim() === "*" || tag.trim().replaceAll('"', "") === record.etag);
}

function refuse(): never {
  throw new FakeS3Error("PreconditionFailed", "At least one of the pre-conditions you specified did not hold");
}
