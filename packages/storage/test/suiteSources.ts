import { createHash, randomBytes } from "node:crypto";
import { buffer } from "node:stream/consumers";
import { expect, test } from "vitest";
import { failure, sourceOf } from "./stores.ts";
import type { Open } from "./suite.ts";

const VIDEO = { contentType: "video/mp4" };
/** More than this goes in parts, of 32 MiB: two of them here. */
const IN_PARTS = { singlePutBytes: 5_000_000 };
const TWO_PARTS = 40_000_003;

/** What a put of a source promises, a body that can be read again from anywhere. */
export function sources(open: Open): void {
  test.each([0, 70_000, 3_000_001, TWO_PARTS])(
    "a source of %i bytes comes back byte for byte, and no byte of it is asked for twice",
    async (sizeBytes) => {
      await using store = await open(IN_PARTS);
      const bytes = randomBytes(sizeBytes);
      const source = sourceOf(bytes);
      const stored = await store.storage.put("a/b.mp4", source, VIDEO);
      expect(stored).toMatchObject({ key: "a/b.mp4", sizeBytes, sha256: sha256(bytes) });
      const got = await store.storage.get("a/b.mp4");
      expect(got).toMatchObject({ totalBytes: sizeBytes, contentType: "video/mp4" });
      expect((await buffer(got.body)).equals(bytes)).toBe(true);
      let end = 0;
      for (const span of source.asked) {
        expect(span.start).toBe(end);
        end = span.end;
      }
      expect(end).toBe(sizeBytes);
    },
  );

  test.each([70_000, 3_000_001, TWO_PARTS])(
    "a source of %i bytes that breaks off in the middle is gone on with where it broke",
    async (sizeBytes) => {
      await using store = await open(IN_PARTS);
      const bytes = randomBytes(sizeBytes);
      const at = sizeBytes - 50_000;
      const source = sourceOf(bytes, { at, times: 2, error: new Error("reset by peer") });
      const stored = await store.storage.put("a", source, VIDEO);
      expect(stored.sha256).toBe(sha256(bytes));
      expect(source.asked.filter(({ start }) => start === at)).toHaveLength(2);
    },
  );

  test.each([70_000, 3_000_001, TWO_PARTS])(
    "a source of %i bytes that fails again and again gives its own error and stores nothing",
    async (sizeBytes) => {
      await using store = await open(IN_PARTS);
      const error = new Error("ComfyUI hung up");
      const source = sourceOf(randomBytes(sizeBytes), { at: sizeBytes - 1, times: 100, error });
      await expect(store.storage.put("a", source, VIDEO)).rejects.toBe(error);
      expect(await store.storage.head("a")).toBeUndefined();
      expect(await store.storage.sweep({ olderThanMs: -60_000 })).toEqual({ removed: 0 });
    },
  );

  test.each([3_000_001, TWO_PARTS])("another length than a source of %i bytes has is refused", async (sizeBytes) => {
    await using store = await open(IN_PARTS);
    const put = store.storage.put("a", sourceOf(Buffer.alloc(sizeBytes)), { ...VIDEO, sizeBytes: sizeBytes + 1 });
    expect((await failure(put)).code).toBe("size_mismatch");
    const short = { ...sourceOf(Buffer.alloc(sizeBytes)), sizeBytes: sizeBytes + 1 };
    expect((await failure(store.storage.put("a", short, VIDEO))).code).toBe("size_mismatch");
    expect(await store.storage.head("a")).toBeUndefined();
  });

  test.each([3_000_001, TWO_PARTS])("a put of a source of %i bytes that is aborted stops and says so", async (size) => {
    await using store = await open(IN_PARTS);
    const stopper = new AbortController();
    const source = sourceOf(Buffer.alloc(size));
    const opened: Promise<unknown>[] = [];
    const stopped = {
      ...source,
      open: async (span: { start: number; end: number }) => {
        const body = await source.open(span);
        opened.push(new Promise((resolve) => body.once("close", resolve)));
        stopper.abort(new Error("canceled"));
        return body;
      },
    };
    const error = await failure(store.storage.put("a", stopped, { ...VIDEO, signal: stopper.signal }));
    expect(error).toMatchObject({ code: "aborted", cause: { message: "canceled" } });
    await Promise.all(opened);
    expect(await store.storage.head("a")).toBeUndefined();
    expect(await store.storage.sweep({ olderThanMs: -60_000 })).toEqual({ removed: 0 });
  });
}

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
