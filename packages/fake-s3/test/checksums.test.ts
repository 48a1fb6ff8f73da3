import { createHash } from "node:crypto";
import {
  type ChecksumAlgorithm,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  type PutObjectCommandInput,
} from "@aws-sdk/client-s3";
import { expect, test } from "vitest";
import { crc32c } from "../src/crc32c.ts";
import { BUCKET, randomStream, refusal, setup } from "./setup.ts";

const TO = { Bucket: BUCKET, Key: "sum" };

test("a checksum that is not the body's is refused, whatever its algorithm, and nothing is stored", async () => {
  await using system = await setup();
  const digest = (name: string) => createHash(name).update("another body").digest("base64");
  const wrong: Partial<PutObjectCommandInput>[] = [
    { ChecksumCRC32: "AAAAAA==" },
    { ChecksumCRC32C: "AAAAAA==" },
    { ChecksumSHA1: digest("sha1") },
    { ChecksumSHA256: digest("sha256") },
    { ContentMD5: digest("md5") },
  ];
  for (const checksum of wrong) {
    const put = new PutObjectCommand({ ...TO, Body: "the body", ...checksum });
    expect(await refusal(system.s3.send(put))).toEqual({ name: "BadDigest", status: 400 });
  }
  expect(system.fake.stats()).toMatchObject({ objects: 0, storedBytes: 0 });
});

test("every algorithm is checked in the trailer of a stream and told again by HEAD", async () => {
  await using system = await setup();
  const algorithms: readonly ChecksumAlgorithm[] = ["CRC32", "CRC32C", "SHA1", "SHA256"];
  for (const ChecksumAlgorithm of algorithms) {
    const { bytes, stream } = randomStream(70_000);
    const put = await system.s3.send(
      new PutObjectCommand({ ...TO, Body: stream, ContentLength: bytes.length, ChecksumAlgorithm }),
    );
    const head = await system.s3.send(new HeadObjectCommand({ ...TO, ChecksumMode: "ENABLED" }));
    const told = head[`Checksum${ChecksumAlgorithm as "CRC32"}`]; // the four listed above are all fields of the answer
    expect(told).toBe(put[`Checksum${ChecksumAlgorithm as "CRC32"}`]);
    expect(told).toMatch(/=$/);
    expect(head.ChecksumType).toBe("FULL_OBJECT");
  }
});

test("the SDK confirms what it reads against the stored checksum", async () => {
  await using system = await setup();
  await system.put("sum", "the body");
  system.fake.faults.add({ kind: "wrong_checksum", on: ["GetObject"], times: 1 });
  const bad = await system.s3.send(new GetObjectCommand(TO));
  await expect(bad.Body?.transformToString()).rejects.toThrow(/checksum mismatch/i);
  const good = await system.s3.send(new GetObjectCommand(TO));
  expect(await good.Body?.transformToString()).toBe("the body");
});

test("fewer bytes than announced are refused", async () => {
  await using system = await setup();
  const { stream } = randomStream(50_000);
  const put = system.s3.send(new PutObjectCommand({ ...TO, Body: stream, ContentLength: 60_000 }));
  expect(await refusal(put)).toMatchObject({ name: "IncompleteBody", status: 400 });
});

test("CRC-32C gives the check value of its standard", () => {
  expect(crc32c(Buffer.from("123456789"))).toBe(0xe3069283);
  expect(crc32c(Buffer.from("6789"), crc32c(Buffer.from("12345")))).toBe(0xe3069283);
});
