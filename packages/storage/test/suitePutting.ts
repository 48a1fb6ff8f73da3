import { createHash, randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { expect, test } from "vitest";
import { failingStream, failure, readText, silentStream, streamOf } from "./stores.ts";
import type { Open } from "./suite.ts";

const PNG = { contentType: "image/png" };

/** What a put that succeeds promises. */
export function putting(open: Open): void {
  test.each([
    ["an empty stream of unknown length", 0, undefined],
    ["an empty stream of known length", 0, 0],
    ["a small stream of known length", 70_000, 70_000],
    ["a stream of known length", 3_000_001, 3_000_001],
    ["a stream of unknown length", 3_000_001, undefined],
    ["a stream of unknown length in many parts", 20_000_003, undefined],
  ])("%s comes back byte for byte, measured on the way", async (_, count, sizeBytes) => {
    await using store = await open();
    const bytes = randomBytes(count);
    const stored = await store.storage.put("a/b.png", streamOf(bytes), { ...PNG, sizeBytes });
    expect(stored).toMatchObject({ key: "a/b.png", sizeBytes: count, sha256: sha256(bytes) });
    const got = await store.storage.get("a/b.png");
    expect(got).toMatchObject({ sizeBytes: count, totalBytes: count, contentType: "image/png" });
    expect((await buffer(got.body)).equals(bytes)).toBe(true);
  });

  test("text and arrays are stored too, with their length verified", async () => {
    await using store = await open();
    await store.storage.put("text", "grüße", { contentType: "text/plain", sizeBytes: 7 });
    await store.storage.put("array", new Uint8Array([104, 105, 106]).subarray(1), PNG);
    expect([await readText(store.storage, "text"), await readText(store.storage, "array")]).toEqual(["grüße", "ij"]);
    expect((await failure(store.storage.put("text", "grüße", { ...PNG, sizeBytes: 5 }))).code).toBe("size_mismatch");
  });

  test("a put replaces what stood there, with its type", async () => {
    await using store = await open();
    await store.storage.put("a.bin", "first, longer", { contentType: "video/x-odd" });
    await store.storage.put("a.bin", "second", { contentType: "application/octet-stream" });
    expect(await readText(store.storage, "a.bin")).toBe("second");
    expect(await store.storage.head("a.bin")).toMatchObject({ totalBytes: 6, contentType: "application/octet-stream" });
  });

  test("what a browser could run is stored as a type it will not run", async () => {
    await using store = await open();
    for (const contentType of ["text/html", "image/svg+xml", "application/javascript", "no type\r\nx: y"]) {
      await store.storage.put("page", "<script>", { contentType });
      expect((await store.storage.head("page"))?.contentType).toBe("application/octet-stream");
    }
  });

  test("the type is kept also where the key's name says another one or none", async () => {
    await using store = await open();
    await store.storage.put("assets/0a1b", "x", { contentType: "image/webp" });
    await store.storage.put("odd.png", "x", { contentType: "image/jpeg" });
    const got = await store.storage.get("assets/0a1b");
    got.body.destroy();
    expect(got.contentType).toBe("image/webp");
    expect((await store.storage.head("odd.png"))?.contentType).toBe("image/jpeg");
  });
}

/** What a put that fails promises. */
export function putFailing(open: Open): void {
  const sizes = [
    ["gathered", 500_000],
    ["streamed", 2_000_000],
    ["in parts", undefined],
  ] as const;

  test.each(sizes)("a body that fails gives its own error and stores nothing (%s)", async (_, sizeBytes) => {
    await using store = await open();
    const reason = new Error("ComfyUI hung up");
    const body = failingStream(reason);
    await expect(store.storage.put("a", body, { ...PNG, sizeBytes })).rejects.toBe(reason);
    expect(await store.storage.head("a")).toBeUndefined();
    expect(body.destroyed).toBe(true);
  });

  test("a body that fails after its first parts takes its upload with it", async () => {
    await using store = await open();
    const reason = new Error("ComfyUI hung up");
    const body = failingStream(reason, 20_000_000);
    await expect(store.storage.put("a", body, PNG)).rejects.toBe(reason);
    expect(await store.storage.head("a")).toBeUndefined();
    expect(await store.storage.sweep({ olderThanMs: -60_000 })).toEqual({ removed: 0 });
  });

  test("a body that had failed before the put began gives its own error", async () => {
    await using store = await open();
    const reason = new Error("too late");
    const body = new Readable({ read() {} });
    body.on("error", () => {}).destroy(reason);
    await new Promise((resolve) => body.once("close", resolve));
    await expect(store.storage.put("a", body, PNG)).rejects.toBe(reason);
  });

  test("a body that fails while the put is getting ready gives its own error", async () => {
    await using store = await open();
    const reason = new Error("too early");
    const body = new Readable({ read() {} });
    const put = store.storage.put("a", body, PNG);
    // an error event that nobody hears would end the process
    expect(body.listenerCount("error")).toBeGreaterThan(0);
    body.destroy(reason);
    await expect(put).rejects.toBe(reason);
  });

  test.each([500_000, 2_000_000])("more or fewer than the announced %i bytes are refused", async (sizeBytes) => {
    await using store = await open();
    const bodies = [
      streamOf(Buffer.alloc(sizeBytes - 1)),
      streamOf(Buffer.alloc(sizeBytes + 60_001)),
      Readable.from([Buffer.alloc(sizeBytes), Buffer.from("x")]),
    ];
    for (const body of bodies) {
      const error = await failure(store.storage.put("a", body, { ...PNG, sizeBytes }));
      expect(error).toMatchObject({ code: "size_mismatch", retryable: true });
    }
  });

  test.each(sizes)("a put that is aborted stops at once, says so and stores nothing (%s)", async (_, sizeBytes) => {
    await using store = await open();
    const stopper = new AbortController();
    const body = silentStream(10_000);
    const put = store.storage.put("a", body, { ...PNG, sizeBytes, signal: stopper.signal });
    await expect.poll(() => body.readableDidRead, { timeout: 15_000 }).toBe(true);
    stopper.abort(new Error("the job was canceled"));
    const error = await failure(put);
    expect(error).toMatchObject({ code: "aborted", retryable: false, cause: { message: "the job was canceled" } });
    expect(await store.storage.head("a")).toBeUndefined();
    expect(body.destroyed).toBe(true);
    const late = store.storage.put("a", "x", { ...PNG, signal: stopper.signal });
    expect((await failure(late)).code).toBe("aborted");
  });

  test.each(sizes)("a body that falls silent is given up (%s)", async (_, sizeBytes) => {
    await using store = await open({ idleTimeoutMs: 400 });
    const error = await failure(store.storage.put("a", silentStream(10_000), { ...PNG, sizeBytes }));
    expect(error).toMatchObject({ code: "slow", retryable: true });
    expect(await store.storage.head("a")).toBeUndefined();
  });
}

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
