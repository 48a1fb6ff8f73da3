import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { expect, test } from "vitest";
import { checkStorage } from "../src/checkStorage.ts";
import { guardBody } from "../src/guardBody.ts";
import type { Storage } from "../src/index.ts";
import { StorageError } from "../src/index.ts";
import { failure, openTestFolder } from "./stores.ts";

test("check finds out that a store ignores the condition of a put", async () => {
  await using folder = await openTestFolder();
  const { storage } = folder;
  const careless: Storage = {
    ...storage,
    putIfAbsent: async (key, body, options) => {
      await storage.put(key, body, options);
      return { created: true };
    },
  };
  const error = await failure(checkStorage(careless));
  expect(error).toMatchObject({ code: "unsupported", message: expect.stringContaining("If-None-Match") });
});

test("check finds out that a store gives back other bytes, or does not let go of them", async () => {
  await using folder = await openTestFolder();
  const { storage } = folder;
  const liar: Storage = {
    ...storage,
    get: async (key) => ({ ...(await storage.get(key)), body: Readable.from([Buffer.from("other bytes")]) }),
  };
  expect((await failure(checkStorage(liar))).code).toBe("checksum_mismatch");
  expect((await failure(checkStorage({ ...storage, remove: async () => {} }))).code).toBe("unsupported");
});

test.each([9, 11])("a body of 10 bytes that ends after %i fails at its end", async (count) => {
  const doing = { what: "read", key: "a", place: "file:///x" };
  const translate = (error: unknown) =>
    error instanceof StorageError ? error : new StorageError("unavailable", String(error));
  const guard = { doing, sizeBytes: 10, idleTimeoutMs: 0, signal: undefined, translate };
  const body = guardBody(Readable.from([Buffer.alloc(count)]), guard);
  expect((await failure(buffer(body))).code).toBe("size_mismatch");
});
