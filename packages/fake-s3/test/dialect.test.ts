import { Agent } from "node:http";
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  PutObjectCommand,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { expect, test } from "vitest";
import { readConfig } from "../src/config.ts";
import { BUCKET, randomStream, refusal, setup } from "./setup.ts";

const PLAIN = { requestChecksumCalculation: "WHEN_REQUIRED" } as const;
const NOT_IMPLEMENTED = { name: "NotImplemented", status: 501 };

const put = (sizeBytes: number) =>
  new PutObjectCommand({ Bucket: BUCKET, Key: "a", Body: randomStream(sizeBytes).stream, ContentLength: sizeBytes });

test.each(["r2", "old"] as const)("%s refuses checksums, and takes what comes without", async (dialect) => {
  await using system = await setup({ dialect });
  expect(await refusal(system.s3.send(put(100_000)))).toEqual(NOT_IMPLEMENTED);
  expect(await refusal(system.put("b", "in memory"))).toEqual(NOT_IMPLEMENTED);
  await system.connect(PLAIN).send(put(100_000));
});

test("r2 wants parts of one size", async () => {
  await using system = await setup({ dialect: "r2", smallestPartBytes: 1 });
  const s3 = system.connect(PLAIN);
  const at = { Bucket: BUCKET, Key: "a" };
  const upload = async (sizes: readonly number[]) => {
    const { UploadId } = await s3.send(new CreateMultipartUploadCommand(at));
    const Parts = [];
    for (const [index, size] of sizes.entries()) {
      const part = { ...at, UploadId, PartNumber: index + 1, Body: Buffer.alloc(size) };
      Parts.push({ PartNumber: index + 1, ETag: (await s3.send(new UploadPartCommand(part))).ETag });
    }
    return s3.send(new CompleteMultipartUploadCommand({ ...at, UploadId, MultipartUpload: { Parts } }));
  };
  expect(await refusal(upload([10, 9, 10]))).toEqual({ name: "InvalidPart", status: 400 });
  await upload([10, 10, 3]);
});

test("minio has buckets in the path only", async () => {
  await using system = await setup({ dialect: "minio" });
  await system.put("a", "x");
  const endpoint = `http://localhost:${system.fake.port}`;
  const agent = new Agent({ lookup: (_host, _options, found) => found(null, [{ address: "127.0.0.1", family: 4 }]) });
  const virtual = system.connect({ endpoint, forcePathStyle: false, requestHandler: { httpAgent: agent } });
  const sent = virtual.send(new PutObjectCommand({ Bucket: BUCKET, Key: "deep/key", Body: "x" }));
  expect(await refusal(sent)).toMatchObject({ name: "NoSuchBucket", status: 404 });
  agent.destroy();
});

test("old does not see conditions", async () => {
  await using system = await setup({ dialect: "old" });
  const seal = () =>
    system.connect(PLAIN).send(new PutObjectCommand({ Bucket: BUCKET, Key: "a", Body: "x", IfNoneMatch: "*" }));
  await seal();
  await seal();
});

test("the command line knows the dialects, and no others", () => {
  expect(readConfig(["--dialect", "r2"]).dialect).toBe("r2");
  expect(() => readConfig(["--dialect", "gcs"])).toThrow("--dialect must be one of aws, minio, r2, old");
});
