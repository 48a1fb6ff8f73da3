import { readAcross } from "../blobShelf.ts";
import { type Answer, type Call, xmlAnswer } from "../call.ts";
import { commitObject } from "../commitObject.ts";
import { checkReadConditions } from "../conditions.ts";
import { keptHeaders } from "../objectHeaders.ts";
import { decode } from "../query.ts";
import { findBucket } from "../world.ts";
import { renderXml } from "../xml.ts";

export async function copyObject(call: Call): Promise<Answer> {
  const { world, target } = call;
  const [bucket = "", ...rest] = decode(target.headers["x-amz-copy-source"] ?? "")
    .replace(/^\//, "")
    .split("/");
  const from = findBucket(world, bucket).get(rest.join("/").replace(/\?versionId=.*$/, ""));
  const match = target.headers["x-amz-copy-source-if-match"];
  checkReadConditions(match === undefined ? {} : { "if-match": match }, from);
  findBucket(world, target.bucket);
  const replaces = target.headers["x-amz-metadata-directive"] === "REPLACE";
  const blob = await world.shelf.write(readAcross(world.shelf, from.blobs, { start: 0, end: from.sizeBytes }));
  const record = await commitObject(call, {
    ...from,
    key: target.key,
    blobs: [blob],
    headers: replaces ? keptHeaders(target.headers) : from.headers,
    lastModifiedMs: world.nowMs(),
  });
  const facts = { ETag: `"${record.etag}"`, LastModified: new Date(record.lastModifiedMs).toISOString() };
  return xmlAnswer(renderXml("CopyObjectResult", facts));
}
