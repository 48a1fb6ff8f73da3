import { Readable } from "node:stream";
import { expect, test } from "vitest";
import { checkStorage } from "../src/checkStorage.ts";
import type { Storage } from "../src/index.ts";
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
