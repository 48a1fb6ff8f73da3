import { FakeS3Error } from "./fakeS3Error.ts";
import type { Target } from "./target.ts";

export type S3Operation =
  | "AbortMultipartUpload"
  | "CompleteMultipartUpload"
  | "CopyObject"
  | "CreateBucket"
  | "CreateMultipartUpload"
  | "DeleteBucket"
  | "DeleteObject"
  | "DeleteObjects"
  | "GetBucketLocation"
  | "GetObject"
  | "HeadBucket"
  | "HeadObject"
  | "ListBuckets"
  | "ListMultipartUploads"
  | "ListObjectsV2"
  | "ListParts"
  | "PutObject"
  | "UploadPart";

/** Queries that ask for a part of S3 this server does not have: better refused than taken for something else. */
const UNKNOWN_SUBRESOURCES = [
  "accelerate",
  "acl",
  "attributes",
  "cors",
  "encryption",
  "legal-hold",
  "lifecycle",
  "logging",
  "notification",
  "object-lock",
  "ownershipControls",
  "policy",
  "publicAccessBlock",
  "replication",
  "restore",
  "retention",
  "select",
  "tagging",
  "torrent",
  "versioning",
  "versions",
  "website",
] as const;

const ON_BUCKET: Readonly<Record<string, S3Operation>> = {
  "DELETE ": "DeleteBucket",
  "GET list-type": "ListObjectsV2",
  "GET location": "GetBucketLocation",
  "GET uploads": "ListMultipartUploads",
  "HEAD ": "HeadBucket",
  "POST delete": "DeleteObjects",
  "PUT ": "CreateBucket",
};

const ON_OBJECT: Readonly<Record<string, S3Operation>> = {
  "DELETE ": "DeleteObject",
  "DELETE uploadId": "AbortMultipartUpload",
  "GET ": "GetObject",
  "GET uploadId": "ListParts",
  "HEAD ": "HeadObject",
  "POST uploadId": "CompleteMultipartUpload",
  "POST uploads": "CreateMultipartUpload",
  "PUT ": "PutObject",
  "PUT copy": "CopyObject",
  "PUT uploadId": "UploadPart",
};

/** Which S3 operation a request asks for. @throws FakeS3Error `NotImplemented` | `MethodNotAllowed` */
export function chooseOperation(target: Target): S3Operation {
  const unknown = UNKNOWN_SUBRESOURCES.find((name) => target.query.has(name));
  if (unknown) throw new FakeS3Error("NotImplemented", `This server has no ?${unknown}`);
  if (target.bucket === "" && target.method === "GET") return "ListBuckets";
  const table = target.key === "" ? ON_BUCKET : ON_OBJECT;
  const operation = table[`${target.method} ${aspectOf(target)}`];
  if (!operation) throw new FakeS3Error("MethodNotAllowed", `${target.method} is not allowed on this resource`);
  return operation;
}

function aspectOf({ query, headers }: Target): string {
  const asked = ["uploadId", "uploads", "delete", "location", "list-type"].find((name) => query.has(name));
  const copies = headers["x-amz-copy-source"] !== undefined;
  if (copies && asked === "uploadId") throw new FakeS3Error("NotImplemented", "This server has no UploadPartCopy");
  return copies ? "copy" : (asked ?? "");
}
