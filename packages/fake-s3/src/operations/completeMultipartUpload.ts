import { createHash } from "node:crypto";
import { readAcross } from "../blobShelf.ts";
import { type Answer, type Call, xmlAnswer } from "../call.ts";
import { type Checksum, checksumHeader, compositeChecksum, startChecksum } from "../checksums.ts";
import { commitObject } from "../commitObject.ts";
import { checkWriteConditions } from "../conditions.ts";
import { checkPartSizes } from "../dialect.ts";
import { FakeS3Error } from "../fakeS3Error.ts";
import { receiveText } from "../receiveBody.ts";
import { findBucket, type MultipartUpload, type Part, type World } from "../world.ts";
import { findElements, findText, renderXml } from "../xml.ts";
import { findUpload } from "./multipart.ts";

/** Makes one object of the named parts; parts that were not named are thrown away. No byte is copied. */
export async function completeMultipartUpload(call: Call): Promise<Answer> {
  const { world, target } = call;
  const upload = findUpload(call);
  const parts = chooseParts(upload, await receiveText(call));
  checkSizes(parts, world.smallestPartBytes);
  checkPartSizes(world.dialect, parts);
  const checksum = await checksumOf(world, upload, parts);
  const wanted = checksum && target.headers[checksumHeader(checksum.algorithm)];
  if (wanted !== undefined && wanted !== checksum?.value) {
    throw new FakeS3Error("BadDigest", "The checksum you specified is not the object's");
  }
  // before the parts change hands: a refused Complete leaves the upload as it was
  checkWriteConditions(target.headers, findBucket(world, target.bucket).find(target.key));
  world.uploads.delete(upload.id);
  const record = await commitObject(call, {
    key: upload.key,
    blobs: parts.map((part) => part.blob),
    sizeBytes: parts.reduce((sum, part) => sum + part.blob.sizeBytes, 0),
    etag: multipartEtag(parts.map((part) => part.md5Hex)),
    headers: upload.headers,
    ...(checksum && { checksum }),
    lastModifiedMs: world.nowMs(),
  });
  const unused = [...upload.parts.values()].filter((part) => !parts.includes(part));
  await Promise.all(unused.map((part) => world.shelf.remove(part.blob)));
  return xmlAnswer(
    renderXml("CompleteMultipartUploadResult", {
      Location: `/${upload.bucket}/${upload.key}`,
      Bucket: upload.bucket,
      Key: upload.key,
      ETag: `"${record.etag}"`,
      ...(checksum && { [`Checksum${checksum.algorithm}`]: checksum.value, ChecksumType: checksum.type }),
    }),
  );
}

function chooseParts(upload: MultipartUpload, xml: string): readonly Part[] {
  let last = 0;
  const parts = findElements(xml, "Part").map((element) => {
    const number = Number(findText(element, "PartNumber"));
    if (number <= last) throw new FakeS3Error("InvalidPartOrder", "The list of parts was not in ascending order.");
    last = number;
    return confirmPart(upload, number, element);
  });
  if (parts.length === 0) throw new FakeS3Error("MalformedXML", "A Complete must name at least one part");
  return parts;
}

function confirmPart(upload: MultipartUpload, number: number, element: string): Part {
  const part = upload.parts.get(number);
  const etag = findText(element, "ETag")?.replaceAll('"', "");
  const checksum = upload.algorithm && findText(element, `Checksum${upload.algorithm}`);
  if (!part || etag !== part.md5Hex || (checksum !== undefined && checksum !== part.checksum)) {
    throw new FakeS3Error("InvalidPart", `Part ${number} could not be found or is not the one you sent.`);
  }
  return part;
}

function checkSizes(parts: readonly Part[], smallestPartBytes: number): void {
  const small = parts.slice(0, -1).find((part) => part.blob.sizeBytes < smallestPartBytes);
  if (small) throw new FakeS3Error("EntityTooSmall", `Part ${small.number} is smaller than ${smallestPartBytes} bytes`);
}

async function checksumOf(
  world: World,
  upload: MultipartUpload,
  parts: readonly Part[],
): Promise<Checksum | undefined> {
  const { algorithm } = upload;
  if (!algorithm) return undefined;
  if (upload.checksumType === "COMPOSITE") {
    const values = parts.flatMap((part) => part.checksum ?? []);
    return values.length === parts.length ? compositeChecksum(algorithm, values) : undefined;
  }
  const running = startChecksum(algorithm);
  const blobs = parts.map((part) => part.blob);
  const end = blobs.reduce((sum, blob) => sum + blob.sizeBytes, 0);
  for await (const chunk of readAcross(world.shelf, blobs, { start: 0, end })) running.update(chunk);
  return { algorithm, value: running.finish().toString("base64"), type: "FULL_OBJECT" };
}

/** The ETag S3 gives to a multipart object. */
function multipartEtag(md5Hexes: readonly string[]): string {
  const digest = createHash("md5");
  for (const hex of md5Hexes) digest.update(Buffer.from(hex, "hex"));
  return `${digest.digest("hex")}-${md5Hexes.length}`;
}
