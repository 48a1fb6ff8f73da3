import { once } from "node:events";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { expect, test } from "vitest";
import { guardBody } from "../src/guardBody.ts";
import { StorageError } from "../src/index.ts";
import { failure } from "./stores.ts";

const GUARD = {
  doing: { what: "read", key: "a", place: "file:///x" },
  sizeBytes: 10,
  idleTimeoutMs: 0,
  signal: undefined,
  translate: (error: unknown) =>
    error instanceof StorageError ? error : new StorageError("unavailable", String(error), { cause: error }),
};

test.each([9, 11])("a body of 10 bytes that ends after %i fails at its end", async (count) => {
  const body = guardBody(Readable.from([Buffer.alloc(count)]), GUARD);
  expect((await failure(buffer(body))).code).toBe("size_mismatch");
});

test("a source that breaks off before anybody reads it is met by its reader, and ends nothing else", async () => {
  const source = new Readable({ read() {} });
  const body = guardBody(source, GUARD);
  // an error event that nobody hears would end the process
  expect(source.listenerCount("error")).toBeGreaterThan(0);
  source.destroy(new Error("connection reset"));
  await new Promise((resolve) => source.once("close", resolve));
  expect(await failure(buffer(body))).toMatchObject({ code: "unavailable", cause: { message: "connection reset" } });
});

test("destroying the body destroys its source at once, also in the middle of a wait", async () => {
  const source = new Readable({ read() {} });
  const body = guardBody(source, GUARD);
  body.on("data", () => {}).on("error", () => {});
  source.push("12345");
  await once(body, "data");
  body.destroy();
  expect(source.destroyed).toBe(true);
});
