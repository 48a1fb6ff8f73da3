import { readAcross } from "../blobShelf.ts";
import type { Answer, Call } from "../call.ts";
import { checkReadConditions } from "../conditions.ts";
import { checksumHeaders, type Headers, objectHeaders } from "../objectHeaders.ts";
import { parseRange } from "../parseRange.ts";
import { findBucket } from "../world.ts";

/** GetObject and HeadObject: the same answer, of which the server sends only the headers to a HEAD. */
export async function getObject({ world, target }: Call): Promise<Answer> {
  const record = findBucket(world, target.bucket).get(target.key);
  if (checkReadConditions(target.headers, record) === "not_modified") {
    return { status: 304, headers: { etag: `"${record.etag}"` } };
  }
  const range = parseRange(target.headers["range"], record.sizeBytes);
  const partial = range.end - range.start < record.sizeBytes || range.asked;
  return {
    status: partial ? 206 : 200,
    headers: {
      ...objectHeaders(record),
      ...overrides(target.query),
      ...(target.headers["x-amz-checksum-mode"]?.toUpperCase() === "ENABLED" &&
        !partial &&
        checksumHeaders(record.checksum)),
      ...(partial && { "content-range": `bytes ${range.start}-${range.end - 1}/${record.sizeBytes}` }),
    },
    body: { sizeBytes: range.end - range.start, chunks: readAcross(world.shelf, record.blobs, range) },
  };
}

/** `response-content-type=…` and its siblings, which only a signed request may carry. */
function overrides(query: ReadonlyMap<string, string>): Headers {
  return Object.fromEntries(
    [...query]
      .filter(([name]) => /^response-(cache-control|content-(disposition|encoding|language|type)|expires)$/.test(name))
      .map(([name, value]) => [name.slice("response-".length), value]),
  );
}
