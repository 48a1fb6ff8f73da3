import { mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { checkModelFile } from "../src/models/checkModelFile.ts";
import { safetensors, withHeader } from "./modelSource.ts";

/** What is said of a file with these bytes; undefined when it is taken. */
async function verdictOn(bytes: Buffer, extension = ".safetensors"): Promise<string | undefined> {
  const dir = await mkdtemp(join(tmpdir(), "model-file-"));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  const path = join(dir, "model");
  await writeFile(path, bytes);
  await using file = await open(path);
  return await checkModelFile(file, extension, "/models/loras/x").then(
    () => undefined,
    (error: { failure: { code: string; message: string } }) => `${error.failure.code}: ${error.failure.message}`,
  );
}

const tensor = (more: object = {}) => ({ a: { dtype: "F16", shape: [2, 3], data_offsets: [0, 12], ...more } });
const twelve = Buffer.alloc(12);

function gguf(version: number, tensors: bigint, facts: bigint, more = 1_000): Buffer {
  const head = Buffer.alloc(24 + more);
  head.write("GGUF");
  head.writeUInt32LE(version, 4);
  head.writeBigUInt64LE(tensors, 8);
  head.writeBigUInt64LE(facts, 16);
  return head;
}

test("true model files of each kind are taken", async () => {
  const full = {
    __metadata__: { format: "pt" },
    ...tensor(),
    b: { dtype: "F8_E4M3", shape: [], data_offsets: [12, 13] },
  };
  expect(await verdictOn(withHeader(full, Buffer.alloc(13)))).toBeUndefined();
  expect(
    await verdictOn(
      withHeader({ a: { dtype: "BF16", shape: [0], data_offsets: [0, 0] }, ...{ b: tensor().a } }, twelve),
    ),
  ).toBeUndefined();
  for (const headerBytes of [128, 384, 640]) {
    // A header's length may begin with the byte that a pickle begins with.
    const text = JSON.stringify(tensor()).padEnd(headerBytes, " ");
    expect(await verdictOn(withHeader(text, twelve))).toBeUndefined();
  }
  expect(await verdictOn(safetensors(5_000), ".sft")).toBeUndefined();
  expect(await verdictOn(gguf(3, 4n, 7n), ".gguf")).toBeUndefined();
  expect(await verdictOn(Buffer.concat([Buffer.from("PK\x03\x04"), Buffer.alloc(100)]), ".ckpt")).toBeUndefined();
});

const length = (bytes: bigint) => {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64LE(bytes);
  return buffer;
};

test.each<[string, Buffer, string, string]>([
  [
    "a pickle renamed .safetensors",
    Buffer.concat([Buffer.from("PK\x03\x04\x00\x00\x08\x08"), Buffer.alloc(500)]),
    ".safetensors",
    "pickle",
  ],
  [
    "an old pickle renamed .safetensors",
    Buffer.concat([Buffer.from("\x80\x02\x8a\x0al\xfc\x9c\x46", "latin1"), Buffer.alloc(500)]),
    ".safetensors",
    "pickle",
  ],
  ["a web page", Buffer.from("\n<!DOCTYPE html><html><body>Please log in</body></html>"), ".safetensors", "web page"],
  ["a web page named .ckpt", Buffer.from("<html><body>404</body></html>"), ".ckpt", "web page"],
  [
    "a pointer of Git LFS",
    Buffer.from("version https://git-lfs.github.com/spec/v1\noid sha256:1"),
    ".safetensors",
    "Git LFS",
  ],
  ["nothing", Buffer.alloc(0), ".safetensors", "too few"],
  ["a header bomb", Buffer.concat([length(2n ** 62n), twelve]), ".safetensors", "100000000 are allowed"],
  [
    "a header of just over the limit",
    Buffer.concat([length(100_000_001n), twelve]),
    ".safetensors",
    "100000000 are allowed",
  ],
  ["a header longer than the file", Buffer.concat([length(99_000_000n), twelve]), ".safetensors", "cut off"],
  ["a header that is no JSON", withHeader("{nonsense", twelve), ".safetensors", "no JSON"],
  ["a header that is a list", withHeader([], twelve), ".safetensors", "no JSON object"],
  ["a file that is cut off", withHeader(tensor(), twelve.subarray(1)), ".safetensors", "cut off"],
  ["bytes behind the last tensor", withHeader(tensor(), Buffer.alloc(13)), ".safetensors", "belong to no tensor"],
  ["no tensors and yet bytes", withHeader({}, twelve), ".safetensors", "belong to no tensor"],
  ["an unknown dtype", withHeader(tensor({ dtype: "constructor" }), twelve), ".safetensors", "unknown dtype"],
  ["a shape that needs more", withHeader(tensor({ shape: [2, 4] }), twelve), ".safetensors", "its shape needs 16"],
  ["offsets that run backwards", withHeader(tensor({ data_offsets: [12, 0] }), twelve), ".safetensors", "cut off"],
  ["negative offsets", withHeader(tensor({ data_offsets: [-12, 0] }), twelve), ".safetensors", "has no dtype"],
  ["overlapping tensors", withHeader({ ...tensor(), b: tensor().a }, twelve), ".safetensors", "overlap"],
  ["no GGUF under that name", Buffer.alloc(100), ".gguf", "does not begin with GGUF"],
  ["GGUF of the future", gguf(9, 1n, 1n), ".gguf", "version 9"],
  ["GGUF with impossible counts", gguf(3, 2n ** 63n, 1n), ".gguf", "claims"],
  ["GGUF that is cut off", gguf(3, 400n, 20n, 100), ".gguf", "cut off"],
  ["no pickle named .pt", Buffer.from("hello, this is just some text"), ".pt", "neither a zip nor a pickle"],
])("%s is refused, with the reason", async (_name, bytes, extension, reason) => {
  const verdict = await verdictOn(bytes, extension);
  expect(verdict).toContain("model_rejected: Model /models/loras/x was not installed: what its source sent");
  expect(verdict).toContain(reason);
});
