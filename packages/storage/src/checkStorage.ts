import { randomUUID } from "node:crypto";
import { buffer } from "node:stream/consumers";
import type { Storage } from "./storage.ts";
import { StorageError } from "./storageError.ts";

/** Does everything this project needs of a store, with one small object below `comfyq-check/`. */
export async function checkStorage(storage: Storage): Promise<void> {
  const key = `comfyq-check/${randomUUID()}.txt`;
  const text = `probe ${key}`;
  const options = { contentType: "text/plain; charset=utf-8" };
  try {
    await storage.put(key, text, { ...options, sizeBytes: Buffer.byteLength(text) });
    await checkSeal(storage, key);
    await checkContent(storage, key, text);
  } finally {
    await storage.remove(key);
  }
  if (await storage.head(key)) {
    throw new StorageError(
      "unsupported",
      `${storage.place} still shows an object that was removed; is it versioned by a proxy?`,
    );
  }
}

async function checkSeal(storage: Storage, key: string): Promise<void> {
  const { created } = await storage.putIfAbsent(key, "a second writer", { contentType: "text/plain" });
  if (!created) return;
  throw new StorageError(
    "unsupported",
    `${storage.place} ignores If-None-Match: two workers could both seal one job; use a store with conditional puts`,
  );
}

async function checkContent(storage: Storage, key: string, text: string): Promise<void> {
  const { body } = await storage.get(key);
  const found = (await buffer(body)).toString("utf8");
  if (found === text) return;
  throw new StorageError(
    "checksum_mismatch",
    `${storage.place} gave back other bytes than it was given; do not use it`,
  );
}
