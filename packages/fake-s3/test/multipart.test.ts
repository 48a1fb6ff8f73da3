import { randomBytes } from "node:crypto";
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { expect, test } from "vitest";
import { BUCKET, randomStream, refusal, setup } from "./setup.ts";

const TO = { Bucket: BUCKET, Key: "m/big" };

/** An upload that was begun, with a way to send its parts. Small parts are allowed. */
async function begin(options: { smallestPartBytes: number } = { smallestPartBytes: 10 }) {
  const system = await setup(options);
  const { UploadId } = await system.s3.send(new CreateMultipartUploadCommand({ ...TO, ContentType: "video/mp4" }));
  const sendPart = async (PartNumber: number, Body: Buffer | string) => {
    const { ETag } = await system.s3.send(new UploadPartCommand({ ...TO, UploadId, PartNumber, Body }));
    return { PartNumber, ETag };
  };
  const complete = (Parts: { PartNumber: number; ETag: string | undefined }[], IfNoneMatch?: string) =>
    system.s3.send(new CompleteMultipartUploadCommand({ ...TO, UploadId, MultipartUpload: { Parts }, IfNoneMatch }));
  return { ...system, UploadId, sendPart, complete };
}

test("the SDK's own uploader stores 12 MB in parts, and its bytes and checksums agree", async () => {
  await using system = await setup();
  const { bytes, stream } = randomStream(12 * 1024 * 1024 + 17);
  const params = { ...TO, Body: stream, ContentType: "video/mp4" };
  const done = await new Upload({ client: system.s3, params, partSize: 5 * 1024 * 1024, queueSize: 2 }).done();
  expect(done.ETag).toMatch(/^"[0-9a-f]{32}-3"$/);
  const got = await system.s3.send(new GetObjectCommand(TO));
  expect(Buffer.from((await got.Body?.transformToByteArray()) ?? []).equals(bytes)).toBe(true);
  const head = await system.s3.send(new HeadObjectCommand({ ...TO, ChecksumMode: "ENABLED" }));
  expect(head).toMatchObject({ ContentType: "video/mp4", ChecksumType: "COMPOSITE" });
  expect(head.ChecksumCRC32).toMatch(/-3$/);
  expect(system.fake.stats()).toMatchObject({ openUploads: 0, objects: 1, storedBytes: bytes.length });
});

test("a range may begin in one part and end in another", async () => {
  await using upload = await begin();
  const bytes = randomBytes(60);
  const parts = [await upload.sendPart(1, bytes.subarray(0, 20)), await upload.sendPart(2, bytes.subarray(20, 40))];
  parts.push(await upload.sendPart(3, bytes.subarray(40)));
  await upload.complete(parts);
  const got = await upload.s3.send(new GetObjectCommand({ ...TO, Range: "bytes=15-44" }));
  expect(Buffer.from((await got.Body?.transformToByteArray()) ?? []).equals(bytes.subarray(15, 45))).toBe(true);
});

test("nothing is visible before Complete, and a running upload can be listed with its parts", async () => {
  await using upload = await begin();
  await upload.sendPart(2, "second part");
  expect(await refusal(upload.s3.send(new HeadObjectCommand(TO)))).toMatchObject({ status: 404 });
  const listed = await upload.s3.send(new ListPartsCommand({ ...TO, UploadId: upload.UploadId }));
  expect(listed.Parts).toMatchObject([{ PartNumber: 2, Size: 11 }]);
  const uploads = await upload.s3.send(new ListMultipartUploadsCommand({ Bucket: BUCKET, Prefix: "m/" }));
  expect(uploads.Uploads).toMatchObject([{ Key: "m/big", UploadId: upload.UploadId }]);
  expect(upload.fake.stats().openUploads).toBe(1);
});

test("an aborted upload is gone: its parts, its id, and what comes late", async () => {
  await using upload = await begin();
  const part = await upload.sendPart(1, "some bytes");
  await upload.s3.send(new AbortMultipartUploadCommand({ ...TO, UploadId: upload.UploadId }));
  expect(await refusal(upload.sendPart(2, "late"))).toMatchObject({ name: "NoSuchUpload", status: 404 });
  expect(await refusal(upload.complete([part]))).toMatchObject({ name: "NoSuchUpload" });
  expect(upload.fake.stats().openUploads).toBe(0);
});

test("Complete refuses wrong parts, wrong order and small parts, and the upload stays open", async () => {
  await using upload = await begin({ smallestPartBytes: 10 });
  const [first, small] = [await upload.sendPart(1, "ten bytes!"), await upload.sendPart(2, "tiny")];
  const last = await upload.sendPart(3, "end");
  const outcomes = [
    await refusal(upload.complete([first, { PartNumber: 2, ETag: last.ETag }])),
    await refusal(upload.complete([first, { PartNumber: 9, ETag: first.ETag }])),
    await refusal(upload.complete([last, first])),
    await refusal(upload.complete([first, small, last])),
  ];
  expect(outcomes.map((each) => each.name)).toEqual([
    "InvalidPart",
    "InvalidPart",
    "InvalidPartOrder",
    "EntityTooSmall",
  ]);
  await upload.complete([first, last]);
  expect(upload.fake.stats()).toMatchObject({ openUploads: 0, storedBytes: 13 });
});

test("a Complete with If-None-Match: * is refused when the key is taken", async () => {
  await using upload = await begin();
  const part = await upload.sendPart(1, "some bytes");
  await upload.put("m/big", "already here");
  expect(await refusal(upload.complete([part], "*"))).toMatchObject({ status: 412 });
  const got = await upload.s3.send(new GetObjectCommand(TO));
  expect(await got.Body?.transformToString()).toBe("already here");
});

test("a part sent twice counts once, with its last bytes", async () => {
  await using upload = await begin();
  await upload.sendPart(1, "first try!");
  const again = await upload.sendPart(1, "second try");
  await upload.complete([again]);
  const got = await upload.s3.send(new GetObjectCommand(TO));
  expect(await got.Body?.transformToString()).toBe("second try");
});
