import { createHash, randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import type { Fault } from "@comfyq/fake-s3";
import { expect, test } from "vitest";
import type { BodySource } from "../src/index.ts";
import { failure, openTestS3, sourceOf } from "./stores.ts";

const VIDEO = { contentType: "video/mp4" };
const PART = 32 * 1024 * 1024;
const BYTES = randomBytes(2 * PART + 1_000_003);
const SHA256 = createHash("sha256").update(BYTES).digest("hex");
const IN_PARTS = { singlePutBytes: 5_000_000, maxAttempts: 3 };
const CHECKSUMS = ["when_supported", "when_required"] as const;

const FAULTS: readonly Fault[] = [
  { kind: "error", code: "SlowDown", times: 2 },
  { kind: "error", code: "InternalError", times: 1 },
  { kind: "cut", afterBytes: 5_000_000, times: 1 },
  { kind: "lose_answer", times: 1 },
];

for (const checksums of CHECKSUMS) {
  test.each(FAULTS)(
    `a part that S3 does not take is read again, and only that one (${checksums}): %j`,
    async (fault) => {
      await using s3 = await openTestS3({ ...IN_PARTS, checksums });
      const source = sourceOf(BYTES);
      const struck = s3.fake.faults.add({ ...fault, on: ["UploadPart"] });
      const stored = await s3.storage.put("a", source, VIDEO);
      expect(stored).toMatchObject({ sizeBytes: BYTES.length, sha256: SHA256 });
      expect(struck.hits).toBe(fault.times);
      expect(s3.fake.stats()).toMatchObject({ objects: 1, openUploads: 0 });
      const asked = source.asked.filter(({ start }) => start % PART === 0);
      expect(asked.length).toBeLessThanOrEqual(3 + (fault.times ?? 0));
      expect((await s3.storage.get("a")).totalBytes).toBe(BYTES.length);
    },
  );
}

test("a bucket that takes no part is given up, and its upload is taken back", async () => {
  await using s3 = await openTestS3({ ...IN_PARTS, maxAttempts: 2 });
  const refused = s3.fake.faults.add({ kind: "error", code: "SlowDown", on: ["UploadPart"] });
  expect((await failure(s3.storage.put("a", sourceOf(BYTES), VIDEO))).code).toBe("unavailable");
  expect(refused.hits).toBe(2);
  refused.remove();
  s3.fake.faults.add({ kind: "error", code: "AccessDenied", on: ["UploadPart"], times: 1 });
  expect((await failure(s3.storage.put("a", sourceOf(BYTES), VIDEO))).code).toBe("forbidden");
  expect(s3.fake.stats()).toMatchObject({ objects: 0, openUploads: 0 });
});

test("a part that stalls is given up as slow, and read again", async () => {
  await using s3 = await openTestS3({ ...IN_PARTS, idleTimeoutMs: 500 });
  s3.fake.faults.add({ kind: "stall", afterBytes: 1_000_000, on: ["UploadPart"], times: 1 });
  expect((await s3.storage.put("a", sourceOf(BYTES), VIDEO)).sha256).toBe(SHA256);
});

test("a source that has changed since its part was read first is found out", async () => {
  await using s3 = await openTestS3(IN_PARTS);
  const other = randomBytes(BYTES.length);
  let opened = 0;
  const changing: BodySource = {
    sizeBytes: BYTES.length,
    open: async ({ start, end }) => Readable.from([(opened++ === 0 ? BYTES : other).subarray(start, end)]),
  };
  s3.fake.faults.add({ kind: "error", code: "SlowDown", on: ["UploadPart"], times: 1 });
  s3.fake.faults.add({ kind: "cut", afterBytes: 20_000_000, on: ["UploadPart"], times: 1 });
  const error = await failure(s3.storage.put("a", changing, VIDEO));
  expect(error.code).toBe("checksum_mismatch");
  expect(s3.fake.stats()).toMatchObject({ objects: 0, openUploads: 0 });
});

test("at most two parts are under way at a time", async () => {
  await using s3 = await openTestS3({ singlePutBytes: 5_000_000 });
  let [open, most] = [0, 0];
  const source = sourceOf(BYTES);
  const counted: BodySource = {
    sizeBytes: BYTES.length,
    open: async (span) => {
      open += 1;
      most = Math.max(most, open);
      const body = await source.open(span);
      return body.once("close", () => {
        open -= 1;
      });
    },
  };
  await s3.storage.put("a", counted, VIDEO);
  expect(most).toBeLessThanOrEqual(2);
  expect(open).toBe(0);
});
