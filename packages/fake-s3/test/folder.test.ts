import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { CreateMultipartUploadCommand, GetObjectCommand, S3Client, UploadPartCommand } from "@aws-sdk/client-s3";
import { expect, test } from "vitest";
import { BUCKET, CREDENTIALS, refusal, setup } from "./setup.ts";

async function temporaryFolder() {
  const dir = await mkdtemp(join(tmpdir(), "fake-s3-"));
  return { dir, [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }) };
}

test("objects in a folder outlive the server; deleted ones and begun uploads do not", async () => {
  await using folder = await temporaryFolder();
  {
    await using system = await setup({ dir: folder.dir });
    await system.put("a/../b", "first");
    await system.put("a/../b", "second");
    const { UploadId } = await system.s3.send(new CreateMultipartUploadCommand({ Bucket: BUCKET, Key: "half" }));
    await system.s3.send(
      new UploadPartCommand({ Bucket: BUCKET, Key: "half", UploadId, PartNumber: 1, Body: "a stray part" }),
    );
  }
  await using system = await setup({ dir: folder.dir });
  const got = await system.s3.send(new GetObjectCommand({ Bucket: BUCKET, Key: "a/../b" }));
  expect([await got.Body?.transformToString(), got.ContentType]).toEqual(["second", "text/plain"]);
  expect(system.fake.stats()).toMatchObject({ objects: 1, storedBytes: 6, openUploads: 0 });
  expect(await readdir(join(folder.dir, "blobs"))).toHaveLength(1);
});

test("a refused upload leaves no file behind", async () => {
  await using folder = await temporaryFolder();
  await using system = await setup({ dir: folder.dir });
  system.fake.faults.add({ kind: "cut", afterBytes: 1000 });
  await refusal(system.put("a", Buffer.alloc(50_000)));
  await expect.poll(() => readdir(join(folder.dir, "blobs")), { timeout: 15_000 }).toEqual([]);
});

test("the process says in one line where it listens, and serves its buckets until it is killed", async () => {
  const flags = ["--bucket", "one", "--bucket", "two", "--access-key", "key-id", "--secret-key", "secret"];
  const main = new URL("../src/main.ts", import.meta.url).pathname;
  const node = new URL("../../../node_modules/.bin/node", import.meta.url).pathname;
  const child = spawn(node, ["--conditions=@comfyq/source", main, ...flags], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "exit");
  try {
    const [line] = await once(createInterface(child.stdout), "line");
    const said = JSON.parse(String(line));
    expect(said).toMatchObject({ url: `http://127.0.0.1:${said.port}`, buckets: ["one", "two"] });
    const s3 = new S3Client({ endpoint: said.url, region: "x", forcePathStyle: true, credentials: CREDENTIALS });
    expect(await refusal(s3.send(new GetObjectCommand({ Bucket: "two", Key: "a" })))).toMatchObject({
      name: "NoSuchKey",
    });
    s3.destroy();
  } finally {
    child.kill();
  }
  expect(await ended).toEqual([null, "SIGTERM"]);
});
