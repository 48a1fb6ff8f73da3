import { randomBytes } from "node:crypto";
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { expect, test } from "vitest";
import { FaultBoard } from "../src/faults.ts";
import { TokenBucket } from "../src/tokenBucket.ts";
import { BUCKET, randomStream, refusal, setup } from "./setup.ts";

const PATIENTLY = { timeout: 15_000 };
const TO = { Bucket: BUCKET, Key: "f/a" };

test("503 for two requests, then all is well: the SDK's retries get through", async () => {
  await using system = await setup();
  const fault = system.fake.faults.add({ kind: "error", code: "SlowDown", times: 2 });
  const patient = system.connect({ maxAttempts: 3 });
  await patient.send(new PutObjectCommand({ ...TO, Body: "x" }));
  expect(fault.hits).toBe(2);
  expect(system.fake.stats().requests).toEqual({ PutObject: 3 });
});

test("a fault strikes only its operations and its keys, until it is removed", async () => {
  await using system = await setup();
  const fault = system.fake.faults.add({ kind: "error", code: "AccessDenied", on: ["PutObject"], keyPrefix: "f/" });
  await system.put("other", "x");
  expect(await refusal(system.put("f/a", "x"))).toEqual({ name: "AccessDenied", status: 403 });
  expect(await refusal(system.s3.send(new HeadObjectCommand(TO)))).toMatchObject({ name: "NotFound" });
  fault.remove();
  await system.put("f/a", "x");
  expect(fault.hits).toBe(1);
});

test("a fault that lasts for a time ends with it", () => {
  let nowMs = 0;
  const board = new FaultBoard(() => nowMs);
  const active = board.add({ kind: "error", code: "SlowDown", forMs: 1000 });
  nowMs = 999;
  expect(board.strike("PutObject", "a")).toBe(active);
  nowMs = 1000;
  expect(board.strike("PutObject", "a")).toBeUndefined();
});

test("a stalled upload goes on when the fault is taken away", async () => {
  await using system = await setup();
  const { bytes, stream } = randomStream(300_000);
  const fault = system.fake.faults.add({ kind: "stall", afterBytes: 1000, on: ["PutObject"] });
  const put = system.s3.send(new PutObjectCommand({ ...TO, Body: stream, ContentLength: bytes.length }));
  await expect.poll(() => system.fake.stats().bytesIn, PATIENTLY).toBe(1000);
  expect(system.fake.stats().objects).toBe(0);
  fault.remove();
  await put;
  expect(system.fake.stats().storedBytes).toBe(bytes.length);
});

test("a stalled download has given its first bytes and no more", async () => {
  await using system = await setup();
  await system.put("f/a", randomBytes(300_000));
  system.fake.faults.add({ kind: "stall", afterBytes: 100_000, on: ["GetObject"] });
  const got = await system.s3.send(new GetObjectCommand(TO));
  const reading = got.Body?.transformToByteArray();
  await expect.poll(() => system.fake.stats().bytesOut, PATIENTLY).toBe(100_000);
  await system.fake.close();
  await expect(reading).rejects.toThrow();
});

test("a cut upload stores nothing; a cut download is an error, not a short body", async () => {
  await using system = await setup();
  system.fake.faults.add({ kind: "cut", afterBytes: 1000, on: ["PutObject"], times: 1 });
  expect(await refusal(system.put("f/a", randomBytes(50_000)))).toMatchObject({ status: undefined });
  expect(system.fake.stats().objects).toBe(0);
  await system.put("f/a", randomBytes(50_000));
  system.fake.faults.add({ kind: "cut", afterBytes: 1000, on: ["GetObject"], times: 1 });
  const got = await system.s3.send(new GetObjectCommand(TO));
  await expect(got.Body?.transformToByteArray()).rejects.toThrow();
});

test("a lost answer: the work is done and the client does not know", async () => {
  await using system = await setup();
  system.fake.faults.add({ kind: "lose_answer", on: ["PutObject"], times: 1 });
  expect(await refusal(system.put("f/a", "x"))).toMatchObject({ status: undefined });
  expect(system.fake.stats().objects).toBe(1);
});

test("a truncated object is short to HEAD and to GET", async () => {
  await using system = await setup();
  await system.put("f/a", "0123456789");
  system.fake.faults.add({ kind: "truncate", toBytes: 4 });
  expect((await system.s3.send(new HeadObjectCommand(TO))).ContentLength).toBe(4);
  const got = await system.s3.send(new GetObjectCommand({ ...TO, ChecksumMode: undefined }));
  expect(got.ContentLength).toBe(4);
  await expect(got.Body?.transformToString()).rejects.toThrow(/checksum mismatch/i);
});

test("a wrong answer to a put names an ETag and a checksum that are not the object's", async () => {
  await using system = await setup();
  const honest = await system.put("f/a", "x");
  system.fake.faults.add({ kind: "wrong_checksum", on: ["PutObject"] });
  const lie = await system.put("f/a", "x");
  expect(lie.ETag).toMatch(/^"[0-9a-f]{32}"$/);
  expect(lie.ETag).not.toBe(honest.ETag);
  expect(lie.ChecksumCRC32).not.toBe(honest.ChecksumCRC32);
});

test("a failing Complete leaves the upload open, also when S3 hides the error in a 200", async () => {
  await using system = await setup();
  const { UploadId } = await system.s3.send(new CreateMultipartUploadCommand(TO));
  const { ETag } = await system.s3.send(new UploadPartCommand({ ...TO, UploadId, PartNumber: 1, Body: "x" }));
  const complete = () =>
    system.s3.send(
      new CompleteMultipartUploadCommand({ ...TO, UploadId, MultipartUpload: { Parts: [{ PartNumber: 1, ETag }] } }),
    );
  const on = ["CompleteMultipartUpload"] as const;
  system.fake.faults.add({ kind: "error", code: "InternalError", on, times: 1 });
  expect(await refusal(complete())).toMatchObject({ name: "InternalError", status: 500 });
  system.fake.faults.add({ kind: "error", code: "InternalError", as200: true, on, times: 1 });
  expect(await refusal(complete())).toMatchObject({ name: "InternalError" });
  expect(system.fake.stats()).toMatchObject({ openUploads: 1, objects: 0 });
  await complete();
  expect(system.fake.stats()).toMatchObject({ openUploads: 0, objects: 1 });
});

test("the line lets bytes through at its speed, however many share it", async () => {
  let nowMs = 0;
  const slept: number[] = [];
  const bucket = new TokenBucket({ monotonicMs: () => nowMs, sleep: async (ms) => void slept.push(ms) });
  bucket.setRate(1_000_000);
  const open = new AbortController().signal;
  await Promise.all([bucket.take(50_000, open), bucket.take(50_000, open)]);
  expect(slept).toEqual([50, 100]);
  nowMs = 200;
  await bucket.take(10_000, open);
  expect(slept).toEqual([50, 100, 10]);
  bucket.setRate(undefined);
  await bucket.take(10_000_000, open);
  expect(slept).toHaveLength(3);
});

test("a body crosses a slow line whole in both directions", async () => {
  await using system = await setup();
  system.fake.setBandwidth({ upBytesPerSecond: 5_000_000, downBytesPerSecond: 5_000_000 });
  const bytes = randomBytes(200_000);
  await system.put("f/a", bytes);
  const got = await system.s3.send(new GetObjectCommand(TO));
  expect(Buffer.from((await got.Body?.transformToByteArray()) ?? []).equals(bytes)).toBe(true);
});
