import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { openTestFolder, openTestS3 } from "./stores.ts";

const NODE = new URL("../../../node_modules/.bin/node", import.meta.url).pathname;
const STREAMER = new URL("./bigStreamer.ts", import.meta.url).pathname;
/** Less than any one of them; 9 to 34 MB were measured. */
const MOST_GROWTH_BYTES = 80_000_000;
/** Bytes have to be made, hashed and written here, on a machine that does other things too. */
const PATIENCE_MS = 60_000;

/** Streams 340 MB up and 120 MB down in a process of its own, and returns by how many bytes its memory grew at most. */
async function growthOf(url: string, endpoint = ""): Promise<number> {
  const { stdout } = await promisify(execFile)(NODE, ["--conditions=@comfyq/source", STREAMER, url, endpoint]);
  return Number(stdout);
}

test("large objects do not stay in memory, in parts, in one request or coming back from S3", {
  timeout: PATIENCE_MS,
}, async () => {
  await using folder = await openTestFolder();
  await using s3 = await openTestS3({}, { dir: folder.root });
  expect(await growthOf("s3://bucket-1/big", s3.fake.url)).toBeLessThan(MOST_GROWTH_BYTES);
  expect(s3.fake.stats().requests).toMatchObject({ CompleteMultipartUpload: 3, PutObject: 1 });
});

test("large objects do not stay in memory on their way to a folder and back", { timeout: PATIENCE_MS }, async () => {
  await using folder = await openTestFolder();
  expect(await growthOf(folder.root)).toBeLessThan(MOST_GROWTH_BYTES);
});
