import {
  CopyObjectCommand,
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetBucketLocationCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListBucketsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  PutObjectTaggingCommand,
} from "@aws-sdk/client-s3";
import { expect, test } from "vitest";
import { BUCKET, randomStream, refusal, setup } from "./setup.ts";

test("a streamed object comes back byte for byte, with its type and metadata", async () => {
  await using system = await setup();
  const { bytes, stream } = randomStream(100_000);
  const to = { Bucket: BUCKET, Key: "a/stream" };
  await system.s3.send(
    new PutObjectCommand({
      ...to,
      Body: stream,
      ContentLength: bytes.length,
      ContentType: "image/png",
      Metadata: { job: "42" },
    }),
  );
  const got = await system.s3.send(new GetObjectCommand(to));
  expect(Buffer.from((await got.Body?.transformToByteArray()) ?? []).equals(bytes)).toBe(true);
  expect(got).toMatchObject({ ContentType: "image/png", Metadata: { job: "42" }, ContentLength: bytes.length });
  expect(got.ContentEncoding).toBeUndefined();
});

test("a range gives exactly its bytes, from the front, from the back and past the end", async () => {
  await using system = await setup();
  await system.put("digits", "0123456789");
  const read = async (Range: string) => {
    const got = await system.s3.send(new GetObjectCommand({ Bucket: BUCKET, Key: "digits", Range }));
    return [await got.Body?.transformToString(), got.ContentRange];
  };
  expect(await read("bytes=2-4")).toEqual(["234", "bytes 2-4/10"]);
  expect(await read("bytes=7-")).toEqual(["789", "bytes 7-9/10"]);
  expect(await read("bytes=-3")).toEqual(["789", "bytes 7-9/10"]);
  expect(await read("bytes=8-100")).toEqual(["89", "bytes 8-9/10"]);
  expect(await refusal(read("bytes=10-"))).toMatchObject({ name: "InvalidRange", status: 416 });
});

test("what is not there is NoSuchKey to GET, NotFound to HEAD and NoSuchBucket in an unknown bucket", async () => {
  await using system = await setup();
  const send = (command: GetObjectCommand | HeadObjectCommand) =>
    refusal(command instanceof GetObjectCommand ? system.s3.send(command) : system.s3.send(command));
  expect(await send(new GetObjectCommand({ Bucket: BUCKET, Key: "x" }))).toEqual({ name: "NoSuchKey", status: 404 });
  expect(await send(new HeadObjectCommand({ Bucket: BUCKET, Key: "x" }))).toEqual({ name: "NotFound", status: 404 });
  expect(await send(new GetObjectCommand({ Bucket: "nowhere", Key: "x" }))).toMatchObject({ name: "NoSuchBucket" });
});

test("keys with spaces, signs and other alphabets stay what they are", async () => {
  await using system = await setup();
  const keys = ["ünï/sp ace+&?#%25.png", "a//b/../c", "日本/🎨.png", "x'(y)*!~<>"];
  for (const key of keys) await system.put(key, key);
  for (const key of keys) {
    const got = await system.s3.send(new GetObjectCommand({ Bucket: BUCKET, Key: key }));
    expect(await got.Body?.transformToString()).toBe(key);
  }
  const listed = await system.s3.send(new ListObjectsV2Command({ Bucket: BUCKET }));
  expect(listed.Contents?.map((each) => each.Key).sort()).toEqual(keys.toSorted());
});

test("a listing goes page by page in the order of bytes, and a delimiter folds it into folders", async () => {
  await using system = await setup();
  for (const key of ["l/a/1", "l/a/2", "l/a-b", "l/b/1", "l/c", "m"]) await system.put(key, key);
  const pages: (string | undefined)[][] = [];
  let token: string | undefined;
  do {
    const page = await system.s3.send(
      new ListObjectsV2Command({ Bucket: BUCKET, Prefix: "l/", MaxKeys: 2, ContinuationToken: token }),
    );
    pages.push((page.Contents ?? []).map((each) => each.Key));
    token = page.NextContinuationToken;
  } while (token);
  expect(pages).toEqual([["l/a-b", "l/a/1"], ["l/a/2", "l/b/1"], ["l/c"]]);
  const after = await system.s3.send(new ListObjectsV2Command({ Bucket: BUCKET, StartAfter: "l/b/1" }));
  expect(after.Contents?.map((each) => each.Key)).toEqual(["l/c", "m"]);
});

test("common prefixes count as entries and do not come twice over the pages", async () => {
  await using system = await setup();
  for (const key of ["l/a/1", "l/a/2", "l/b", "l/c/1", "l/c/2"]) await system.put(key, key);
  const list = (ContinuationToken?: string) =>
    system.s3.send(
      new ListObjectsV2Command({ Bucket: BUCKET, Prefix: "l/", Delimiter: "/", MaxKeys: 1, ContinuationToken }),
    );
  const first = await list();
  const second = await list(first.NextContinuationToken);
  const third = await list(second.NextContinuationToken);
  expect(first.CommonPrefixes).toEqual([{ Prefix: "l/a/" }]);
  expect(second.Contents?.map((each) => each.Key)).toEqual(["l/b"]);
  expect(third.CommonPrefixes).toEqual([{ Prefix: "l/c/" }]);
  expect(third.IsTruncated).toBe(false);
});

test("a copy has the bytes and the type of its source, also after the source is gone", async () => {
  await using system = await setup();
  await system.put("from here/ü", "bytes");
  const source = `${BUCKET}/${encodeURIComponent("from here/ü")}`;
  await system.s3.send(new CopyObjectCommand({ Bucket: BUCKET, Key: "to", CopySource: source }));
  await system.s3.send(new DeleteObjectCommand({ Bucket: BUCKET, Key: "from here/ü" }));
  const got = await system.s3.send(new GetObjectCommand({ Bucket: BUCKET, Key: "to" }));
  expect([await got.Body?.transformToString(), got.ContentType]).toEqual(["bytes", "text/plain"]);
});

test("a copy bound to another version of its source is refused", async () => {
  await using system = await setup();
  const { ETag } = await system.put("from", "bytes");
  const copy = (CopySourceIfMatch: string | undefined) =>
    system.s3.send(
      new CopyObjectCommand({ Bucket: BUCKET, Key: "to", CopySource: `${BUCKET}/from`, CopySourceIfMatch }),
    );
  expect(await refusal(copy('"another"'))).toEqual({ name: "PreconditionFailed", status: 412 });
  await copy(ETag);
});

test("deleting takes the bytes away, many at once, and deleting what is gone is no error", async () => {
  await using system = await setup();
  for (const key of ["a&b", "c", "d"]) await system.put(key, key);
  const objects = ["a&b", "c", "never"].map((Key) => ({ Key }));
  const answer = await system.s3.send(new DeleteObjectsCommand({ Bucket: BUCKET, Delete: { Objects: objects } }));
  expect(answer.Deleted?.map((each) => each.Key)).toEqual(["a&b", "c", "never"]);
  await system.s3.send(new DeleteObjectCommand({ Bucket: BUCKET, Key: "d" }));
  await system.s3.send(new DeleteObjectCommand({ Bucket: BUCKET, Key: "d" }));
  expect(system.fake.stats()).toMatchObject({ objects: 0, storedBytes: 0 });
});

test("what this server does not have is refused, not mistaken for something else", async () => {
  await using system = await setup();
  await system.put("a", "old");
  const tagging = new PutObjectTaggingCommand({
    Bucket: BUCKET,
    Key: "a",
    Tagging: { TagSet: [{ Key: "k", Value: "v" }] },
  });
  expect(await refusal(system.s3.send(tagging))).toEqual({ name: "NotImplemented", status: 501 });
  const got = await system.s3.send(new GetObjectCommand({ Bucket: BUCKET, Key: "a" }));
  expect(await got.Body?.transformToString()).toBe("old");
});

test("buckets are made, listed and taken away when they are empty", async () => {
  await using system = await setup();
  const { s3 } = system;
  await s3.send(new CreateBucketCommand({ Bucket: "bucket-2" }));
  expect(await refusal(s3.send(new CreateBucketCommand({ Bucket: "bucket-2" })))).toMatchObject({ status: 409 });
  expect(await refusal(s3.send(new CreateBucketCommand({ Bucket: "No_Bucket" })))).toMatchObject({ status: 400 });
  await system.put("a", "x");
  expect(await refusal(s3.send(new DeleteBucketCommand({ Bucket: BUCKET })))).toMatchObject({ name: "BucketNotEmpty" });
  await s3.send(new DeleteBucketCommand({ Bucket: "bucket-2" }));
  expect(await refusal(s3.send(new HeadBucketCommand({ Bucket: "bucket-2" })))).toMatchObject({ status: 404 });
  expect((await s3.send(new ListBucketsCommand({}))).Buckets?.map((bucket) => bucket.Name)).toEqual([BUCKET]);
  expect((await s3.send(new GetBucketLocationCommand({ Bucket: BUCKET }))).LocationConstraint).toBeUndefined();
});
