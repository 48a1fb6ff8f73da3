import { randomBytes } from "node:crypto";
import { buffer } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import type { ListOptions, Storage } from "../src/index.ts";
import { failure, type OpenStore, readText } from "./stores.ts";
import { putFailing, putting } from "./suitePutting.ts";
import { sources } from "./suiteSources.ts";

export type Open = (options?: { idleTimeoutMs?: number; singlePutBytes?: number }) => Promise<OpenStore>;

const PNG = { contentType: "image/png" };

/** What both stores promise. */
export function storageSuite(name: string, open: Open): void {
  describe(name, () => {
    putting(open);
    putFailing(open);
    sources(open);
    sealing(open);
    reading(open);
    listing(open);
    copying(open);
    removing(open);
    keys(open);
  });
}

function sealing(open: Open): void {
  test("of many conditional puts exactly one creates the object, and its bytes stay", async () => {
    await using store = await open();
    const writers = Array.from({ length: 8 }, (_, index) =>
      store.storage.putIfAbsent("jobs/1/manifest.json", `writer ${index}`, { contentType: "application/json" }),
    );
    const created = (await Promise.all(writers)).map((outcome) => outcome.created);
    expect(created.filter(Boolean)).toHaveLength(1);
    expect(await readText(store.storage, "jobs/1/manifest.json")).toBe(`writer ${created.indexOf(true)}`);
    expect((await store.storage.head("jobs/1/manifest.json"))?.contentType).toBe("application/json");
  });

  test("after a removal the key is free again", async () => {
    await using store = await open();
    const seal = () => store.storage.putIfAbsent("seal", new Uint8Array([1]), { contentType: "image/png" });
    expect([await seal(), await seal()]).toEqual([{ created: true }, { created: false }]);
    await store.storage.remove("seal");
    expect(await seal()).toEqual({ created: true });
  });
}

function reading(open: Open): void {
  test("a range gives its bytes and tells the whole size", async () => {
    await using store = await open();
    await store.storage.put("digits", "0123456789", { contentType: "text/plain" });
    const read = async (start: number, end?: number) => {
      const { body, sizeBytes, totalBytes } = await store.storage.get("digits", { range: { start, end } });
      return [(await buffer(body)).toString(), sizeBytes, totalBytes];
    };
    expect(await read(2, 4)).toEqual(["234", 3, 10]);
    expect(await read(7)).toEqual(["789", 3, 10]);
    expect(await read(8, 100)).toEqual(["89", 2, 10]);
    expect((await failure(read(10))).code).toBe("range_not_satisfiable");
    expect((await failure(read(5, 4))).code).toBe("range_not_satisfiable");
    expect((await failure(read(-1))).code).toBe("range_not_satisfiable");
  });

  test("what is not there is undefined to head and not_found to get", async () => {
    await using store = await open();
    await store.storage.put("a/b", "x", PNG);
    for (const key of ["a", "a/b/c", "nothing"]) {
      expect(await store.storage.head(key)).toBeUndefined();
      expect(await failure(store.storage.get(key))).toMatchObject({ code: "not_found", retryable: false });
    }
  });

  test("head tells what get tells, and when it was stored", async () => {
    await using store = await open();
    const before = Date.now() - 2_000; // S3 tells whole seconds
    await store.storage.put("a.png", "bytes", PNG);
    const got = await store.storage.get("a.png");
    got.body.destroy();
    const head = await store.storage.head("a.png");
    expect(got).toMatchObject(head ?? { never: true });
    expect(head).toMatchObject({ key: "a.png", totalBytes: 5, contentType: "image/png" });
    expect(head?.etag).toMatch(/^".+"$/);
    expect(head?.lastModifiedMs).toBeGreaterThan(before);
  });

  test("a download that is aborted says so, and one that is dropped hurts nobody", async () => {
    await using store = await open();
    await store.storage.put("big", randomBytes(3_000_000), PNG);
    const stopper = new AbortController();
    const { body } = await store.storage.get("big", { signal: stopper.signal });
    for await (const _ of body) {
      stopper.abort(new Error("enough"));
      break;
    }
    const again = await store.storage.get("big", { signal: AbortSignal.timeout(60_000) });
    again.body.destroy();
    const late = await failure(store.storage.get("big", { signal: stopper.signal }).then(({ body }) => buffer(body)));
    expect(late).toMatchObject({ code: "aborted", cause: { message: "enough" } });
  });

  test("a reader that takes its time is not mistaken for a slow store", async () => {
    await using store = await open({ idleTimeoutMs: 500 });
    const bytes = randomBytes(4_000_000);
    await store.storage.put("big", bytes, PNG);
    const { body } = await store.storage.get("big");
    const pieces: Buffer[] = [];
    for await (const piece of body) {
      if (pieces.length === 1) await new Promise((resolve) => setTimeout(resolve, 1_200));
      pieces.push(piece);
    }
    expect(Buffer.concat(pieces).equals(bytes)).toBe(true);
  });
}

function listing(open: Open): void {
  const ALL = ["l/a-b", "l/a/1", "l/a/2", "l/a0", "l/b/c/d", "l/ä", "l/日本", "m"];

  async function filled(open: Open) {
    const store = await open();
    for (const key of ALL.toReversed()) await store.storage.put(key, key, { contentType: "text/plain" });
    return store;
  }

  async function keysOf(storage: Storage, prefix: string, options?: ListOptions): Promise<string[]> {
    const keys: string[] = [];
    for await (const { key } of storage.list(prefix, options)) keys.push(key);
    return keys;
  }

  test("a listing has every key below its prefix in the order of bytes", async () => {
    await using store = await filled(open);
    expect(await keysOf(store.storage, "")).toEqual(ALL);
    expect(await keysOf(store.storage, "l/a")).toEqual(["l/a-b", "l/a/1", "l/a/2", "l/a0"]);
    expect(await keysOf(store.storage, "l/a/")).toEqual(["l/a/1", "l/a/2"]);
    expect(await keysOf(store.storage, "none/")).toEqual([]);
  });

  test("pages by limit and cursor join without gap or repetition", async () => {
    await using store = await filled(open);
    const pages: string[][] = [];
    for (let cursor: string | undefined; ; cursor = pages.at(-1)?.at(-1)) {
      const page = await keysOf(store.storage, "l/", { limit: 2, cursor });
      if (page.length === 0) break;
      pages.push(page);
    }
    expect(pages.flat()).toEqual(ALL.slice(0, -1));
    expect(pages.map((page) => page.length)).toEqual([2, 2, 2, 1]);
  });

  test("a listing tells size and time, and stops when it is aborted", async () => {
    await using store = await filled(open);
    for await (const entry of store.storage.list("m")) {
      expect(entry).toEqual({ key: "m", sizeBytes: 1, lastModifiedMs: expect.any(Number) });
    }
    const aborted = AbortSignal.abort(new Error("enough"));
    expect((await failure(keysOf(store.storage, "", { signal: aborted }))).code).toBe("aborted");
  });
}

function copying(open: Open): void {
  test("a copy has the same bytes and type, and outlives what it was copied from", async () => {
    await using store = await open();
    const bytes = randomBytes(300_000);
    await store.storage.put("jobs/1/ünï +&.bin", bytes, { contentType: "image/webp" });
    const copy = await store.storage.copy("jobs/1/ünï +&.bin", "jobs/2/b.png");
    expect(copy).toMatchObject({ key: "jobs/2/b.png", totalBytes: 300_000, contentType: "image/webp" });
    await store.storage.put("jobs/1/ünï +&.bin", "another", PNG);
    await store.storage.remove("jobs/1/ünï +&.bin");
    const got = await store.storage.get("jobs/2/b.png");
    expect(got.contentType).toBe("image/webp");
    expect((await buffer(got.body)).equals(bytes)).toBe(true);
  });

  test("a copy replaces what stood there, also when it is made again", async () => {
    await using store = await open();
    await store.storage.put("from", "new", PNG);
    await store.storage.put("to", "old and longer", { contentType: "text/plain" });
    for (const _ of [1, 2]) await store.storage.copy("from", "to");
    expect([await readText(store.storage, "to"), (await store.storage.head("to"))?.contentType]).toEqual([
      "new",
      "image/png",
    ]);
    expect(await store.storage.copy("from", "from")).toMatchObject({ key: "from", totalBytes: 3 });
  });

  test("what is not there cannot be copied, and a copy that is aborted says so", async () => {
    await using store = await open();
    await store.storage.put("to", "stays", PNG);
    expect((await failure(store.storage.copy("nothing", "to"))).code).toBe("not_found");
    const signal = AbortSignal.abort(new Error("enough"));
    expect((await failure(store.storage.copy("to", "b", { signal }))).code).toBe("aborted");
    expect(await readText(store.storage, "to")).toBe("stays");
    expect(await store.storage.head("b")).toBeUndefined();
  });
}

function removing(open: Open): void {
  test("removing takes the object away and may be repeated", async () => {
    await using store = await open();
    await store.storage.put("a/b/c", "x", PNG);
    await store.storage.remove("a/b/c");
    await store.storage.remove("a/b/c");
    expect(await store.storage.head("a/b/c")).toBeUndefined();
    await store.storage.put("a/b", "a file where a folder was", PNG);
    expect(await readText(store.storage, "a/b")).toBe("a file where a folder was");
  });

  test("removing a prefix takes exactly what is below it", async () => {
    await using store = await open();
    for (const key of ["jobs/1/a", "jobs/1/b/c", "jobs/10/a"]) await store.storage.put(key, "x", PNG);
    expect(await store.storage.removePrefix("jobs/1/")).toEqual({ removed: 2 });
    expect(await store.storage.removePrefix("jobs/1/")).toEqual({ removed: 0 });
    expect(await store.storage.head("jobs/10/a")).toBeDefined();
  });

  test("a prefix that could match half a name is not removed, nor is everything", async () => {
    await using store = await open();
    await store.storage.put("jobs/10", "x", PNG);
    for (const prefix of ["jobs/1", "", "/", "../"]) {
      expect((await failure(store.storage.removePrefix(prefix))).code).toBe("invalid_key");
    }
    expect(await store.storage.head("jobs/10")).toBeDefined();
  });

  test("check passes on a healthy store and leaves nothing", async () => {
    await using store = await open();
    await store.storage.check();
    for await (const { key } of store.storage.list("")) throw new Error(`${key} was left`);
  });
}

function keys(open: Open): void {
  const HOSTILE = [
    "",
    "/etc/passwd",
    "../outside",
    "a/../../outside",
    "a/..",
    "./a",
    "a//b",
    "a/",
    "a\\..\\b",
    "a\0b",
    "a\nb",
    "a\u202egnp.exe",
    "e\u0301", // not NFC
    "\ud800",
    ".comfyq/drafts/x",
    "x".repeat(256),
    `${"x/".repeat(512)}x`,
  ];

  test.each(HOSTILE)("the key %j is refused everywhere", async (key) => {
    await using store = await open();
    const { storage } = store;
    const calls = [
      storage.put(key, "x", PNG),
      storage.putIfAbsent(key, "x", PNG),
      storage.copy(key, "a"),
      storage.copy("a", key),
      storage.get(key),
      storage.head(key),
      storage.link(key),
      storage.remove(key),
    ];
    const errors = await Promise.all(calls.map(failure));
    expect(errors.map((error) => error.code)).toEqual(calls.map(() => "invalid_key"));
  });

  test("keys in any alphabet and with signs are kept as they are", async () => {
    await using store = await open();
    const odd = ["ünï/sp ace+&?#%25.png", "日本/🎨.png", "x'(y)*!~<>.txt", "a/...", "%2e%2e/b", "key=value;a:b"];
    for (const key of odd) await store.storage.put(key, key, PNG);
    for (const key of odd) expect(await readText(store.storage, key)).toBe(key);
  });
}
