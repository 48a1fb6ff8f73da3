// Puts an endless body into a folder, says so when bytes have arrived there, and says how it ended if it does.
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { openStorage, StorageError } from "../src/index.ts";

const [root = "", key = ""] = process.argv.slice(2);
const drafts = join(root, ".comfyq", "drafts");

async function* endless() {
  let said = false;
  for (;;) {
    yield Buffer.alloc(16_384);
    said = said || (await sayWhenBytesAreThere());
  }
}

async function sayWhenBytesAreThere(): Promise<boolean> {
  const sizes = await Promise.all((await readdir(drafts)).map(async (name) => (await stat(join(drafts, name))).size));
  const arrived = sizes.some((size) => size > 0);
  if (arrived) process.stdout.write("writing\n");
  return arrived;
}

try {
  await openStorage(root).put(key, Readable.from(endless()), { contentType: "image/png" });
} catch (error) {
  if (!(error instanceof StorageError)) throw error;
  process.stdout.write(`${error.code} ${error.retryable}\n`);
}
