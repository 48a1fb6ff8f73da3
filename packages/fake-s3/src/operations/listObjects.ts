import type { Bucket } from "../bucket.ts";
import { type Answer, type Call, xmlAnswer } from "../call.ts";
import { FakeS3Error } from "../fakeS3Error.ts";
import { encodePath } from "../query.ts";
import { findBucket } from "../world.ts";
import { renderXml } from "../xml.ts";

interface Page {
  readonly keys: readonly string[];
  readonly commonPrefixes: readonly string[];
  /** Where the next page begins (after this key or prefix); `undefined` when this is the last. */
  readonly next: string | undefined;
}

/** ListObjectsV2: prefix, delimiter, max-keys, start-after, continuation-token, encoding-type. */
export async function listObjects({ world, target }: Call): Promise<Answer> {
  if (target.query.get("list-type") !== "2") throw new FakeS3Error("NotImplemented", "Only ListObjectsV2 is here");
  const bucket = findBucket(world, target.bucket);
  const query = (name: string) => target.query.get(name) ?? "";
  const maxKeys = Number(target.query.get("max-keys") ?? 1000);
  const page = cutPage(bucket.keys, {
    prefix: query("prefix"),
    delimiter: query("delimiter"),
    after: readToken(target.query.get("continuation-token")) ?? query("start-after"),
    count: Math.min(maxKeys, world.mostKeysPerPage),
  });
  const encode = query("encoding-type") === "url" ? encodePath : (key: string) => key;
  return xmlAnswer(
    renderXml("ListBucketResult", {
      Name: bucket.name,
      Prefix: encode(query("prefix")),
      Delimiter: target.query.get("delimiter"),
      EncodingType: target.query.get("encoding-type"),
      KeyCount: page.keys.length + page.commonPrefixes.length,
      MaxKeys: maxKeys,
      IsTruncated: page.next !== undefined,
      NextContinuationToken: page.next === undefined ? undefined : Buffer.from(page.next).toString("base64"),
      Contents: page.keys.map((key) => describe(bucket, key, encode)),
      CommonPrefixes: page.commonPrefixes.map((prefix) => ({ Prefix: encode(prefix) })),
    }),
  );
}

function cutPage(
  sortedKeys: readonly string[],
  { prefix, delimiter, after, count }: { prefix: string; delimiter: string; after: string; count: number },
): Page {
  const keys: string[] = [];
  const commonPrefixes: string[] = [];
  let last = "";
  for (const key of sortedKeys) {
    if (!key.startsWith(prefix) || !isAfter(key, after)) continue;
    const cut = delimiter === "" ? -1 : key.indexOf(delimiter, prefix.length);
    const common = cut < 0 ? undefined : key.slice(0, cut + delimiter.length);
    if (common !== undefined && (common === commonPrefixes.at(-1) || common === after)) continue;
    if (keys.length + commonPrefixes.length === count) return { keys, commonPrefixes, next: last };
    if (common === undefined) keys.push(key);
    else commonPrefixes.push(common);
    last = common ?? key;
  }
  return { keys, commonPrefixes, next: undefined };
}

function isAfter(key: string, after: string): boolean {
  return Buffer.compare(Buffer.from(key), Buffer.from(after)) > 0;
}

function readToken(token: string | undefined): string | undefined {
  return token === undefined ? undefined : Buffer.from(token, "base64").toString("utf8");
}

function describe(bucket: Bucket, key: string, encode: (key: string) => string) {
  const record = bucket.get(key);
  return {
    Key: encode(key),
    LastModified: new Date(record.lastModifiedMs).toISOString(),
    ETag: `"${record.etag}"`,
    Size: record.sizeBytes,
    StorageClass: "STANDARD",
  };
}
