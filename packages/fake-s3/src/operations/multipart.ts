import { randomUUID } from "node:crypto";
import { type Answer, type Call, xmlAnswer } from "../call.ts";
import { checksumHeader, findAlgorithm } from "../checksums.ts";
import { FakeS3Error } from "../fakeS3Error.ts";
import { keptHeaders } from "../objectHeaders.ts";
import { receiveBody } from "../receiveBody.ts";
import { findBucket, type MultipartUpload } from "../world.ts";
import { renderXml } from "../xml.ts";

const MOST_PARTS = 10_000;

export async function createMultipartUpload({ world, target }: Call): Promise<Answer> {
  findBucket(world, target.bucket);
  const algorithm = findAlgorithm(target.headers["x-amz-checksum-algorithm"]);
  const upload: MultipartUpload = {
    id: randomUUID(),
    bucket: target.bucket,
    key: target.key,
    headers: keptHeaders(target.headers),
    ...(algorithm && { algorithm }),
    checksumType: target.headers["x-amz-checksum-type"] === "FULL_OBJECT" ? "FULL_OBJECT" : "COMPOSITE",
    initiatedMs: world.nowMs(),
    parts: new Map(),
  };
  world.uploads.set(upload.id, upload);
  const facts = { Bucket: upload.bucket, Key: upload.key, UploadId: upload.id };
  return xmlAnswer(renderXml("InitiateMultipartUploadResult", facts), {
    ...(algorithm && { "x-amz-checksum-algorithm": algorithm, "x-amz-checksum-type": upload.checksumType }),
  });
}

export async function uploadPart(call: Call): Promise<Answer> {
  const { world, target } = call;
  const upload = findUpload(call);
  const number = Number(target.query.get("partNumber"));
  if (!Number.isInteger(number) || number < 1 || number > MOST_PARTS) {
    throw new FakeS3Error("InvalidArgument", `Part number must be an integer between 1 and ${MOST_PARTS}, inclusive`);
  }
  const { blob, md5Hex, checksum } = await receiveBody(call);
  // the upload may have been aborted while its part was on the way
  if (!world.uploads.has(upload.id)) {
    await world.shelf.remove(blob);
    throw noSuchUpload();
  }
  const before = upload.parts.get(number);
  const value = checksum && checksum.algorithm === upload.algorithm ? checksum.value : undefined;
  upload.parts.set(number, {
    number,
    blob,
    md5Hex,
    ...(value !== undefined && { checksum: value }),
    lastModifiedMs: world.nowMs(),
  });
  if (before) await world.shelf.remove(before.blob);
  return {
    status: 200,
    headers: { etag: `"${md5Hex}"`, ...(checksum && { [checksumHeader(checksum.algorithm)]: checksum.value }) },
  };
}

export async function abortMultipartUpload(call: Call): Promise<Answer> {
  const upload = findUpload(call);
  call.world.uploads.delete(upload.id);
  await Promise.all([...upload.parts.values()].map((part) => call.world.shelf.remove(part.blob)));
  return { status: 204 };
}

export async function listParts(call: Call): Promise<Answer> {
  const upload = findUpload(call);
  const parts = [...upload.parts.values()]
    .sort((a, b) => a.number - b.number)
    .map((part) => ({
      PartNumber: part.number,
      LastModified: new Date(part.lastModifiedMs).toISOString(),
      ETag: `"${part.md5Hex}"`,
      Size: part.blob.sizeBytes,
    }));
  const facts = { Bucket: upload.bucket, Key: upload.key, UploadId: upload.id, IsTruncated: false, Part: parts };
  return xmlAnswer(renderXml("ListPartsResult", facts));
}

export async function listMultipartUploads({ world, target }: Call): Promise<Answer> {
  findBucket(world, target.bucket);
  const prefix = target.query.get("prefix") ?? "";
  const uploads = [...world.uploads.values()]
    .filter((upload) => upload.bucket === target.bucket && upload.key.startsWith(prefix))
    .sort((a, b) => (a.key < b.key ? -1 : 1))
    .map(({ key, id, initiatedMs }) => ({
      Key: key,
      UploadId: id,
      Initiated: new Date(initiatedMs).toISOString(),
    }));
  const facts = { Bucket: target.bucket, Prefix: prefix, IsTruncated: false, Upload: uploads };
  return xmlAnswer(renderXml("ListMultipartUploadsResult", facts));
}

/** The upload a call is about. @throws FakeS3Error `NoSuchUpload` */
export function findUpload({ world, target }: Call): MultipartUpload {
  findBucket(world, target.bucket);
  const upload = world.uploads.get(target.query.get("uploadId") ?? "");
  if (!upload || upload.bucket !== target.bucket || upload.key !== target.key) throw noSuchUpload();
  return upload;
}

function noSuchUpload(): FakeS3Error {
  return new FakeS3Error("NoSuchUpload", "The specified multipart upload does not exist. It may have been aborted.");
}
