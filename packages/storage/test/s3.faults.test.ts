import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import type { Fault } from "@comfyq/fake-s3";
import { expect, test } from "vitest";
import { failure, openTestS3, readText, silentStream, streamOf, type TestS3 } from "./stores.ts";

const PNG = { contentType: "image/png" };
const JSON_TYPE = { contentType: "application/json" };
const PATIENTLY = { timeout: 15_000 };
/** One full part and a little more. */
const TWO_PARTS = 8 * 1024 * 1024 + 5_000;

/** Ways a body can go: gathered in memory, streamed in one request, in parts. */
const WAYS = [
  ["gathered", 300_000, 300_000],
  ["streamed", 2_000_000, 2_000_000],
  ["in parts", TWO_PARTS, undefined],
] as const;

async function putThrough(s3: TestS3, fault: Fault, way: readonly [string, number, number | undefined]) {
  const body = streamOf(randomBytes(way[1]));
  const active = s3.fake.faults.add(fault);
  const error = await failure(s3.storage.put("a", body, { ...PNG, sizeBytes: way[2] }));
  active.remove();
  expect(active.hits).toBeGreaterThan(0);
  expect(body.destroyed).toBe(true);
  return error;
}

test.each(WAYS)("a busy bucket is unavailable, may be retried, and holds nothing (%s)", async (...way) => {
  await using s3 = await openTestS3();
  const error = await putThrough(s3, { kind: "error", code: "SlowDown" }, way);
  expect(error).toMatchObject({
    code: "unavailable",
    retryable: true,
    message: expect.stringContaining("503 SlowDown"),
  });
  expect(s3.fake.stats()).toMatchObject({ objects: 0, openUploads: 0 });
});

test("an early refusal ends the request whose body nobody sends any more", async () => {
  await using s3 = await openTestS3();
  s3.fake.faults.add({ kind: "error", code: "SlowDown" });
  const put = s3.storage.put("a", silentStream(1_200_000), { ...PNG, sizeBytes: 1_500_000 });
  expect((await failure(put)).code).toBe("unavailable");
  await expect.poll(() => s3.fake.stats().openConnections, PATIENTLY).toBe(0);
});

test("a body that goes on after its announced end is found out also when the bucket was content", async () => {
  await using s3 = await openTestS3({ checksums: "when_required" });
  const body = async function* () {
    yield Buffer.alloc(2_000_000);
    await expect.poll(() => s3.fake.stats().objects, PATIENTLY).toBe(1);
    yield Buffer.from("one more");
  };
  const put = s3.storage.put("a", Readable.from(body()), { ...PNG, sizeBytes: 2_000_000 });
  expect((await failure(put)).code).toBe("size_mismatch");
});

test("a short hiccup is not noticed: the SDK tries again", async () => {
  await using s3 = await openTestS3({ maxAttempts: 3 });
  const hiccup = s3.fake.faults.add({ kind: "error", code: "SlowDown", times: 2 });
  await s3.storage.put("a", "x", PNG);
  expect(hiccup.hits).toBe(2);
  expect(await readText(s3.storage, "a")).toBe("x");
});

test.each(WAYS)("a refused put is forbidden, not to be retried, and says what to check (%s)", async (...way) => {
  await using s3 = await openTestS3();
  const error = await putThrough(s3, { kind: "error", code: "AccessDenied" }, way);
  expect(error).toMatchObject({ code: "forbidden", retryable: false });
  expect(error.message).toMatch(
    /^Could not store "a" in s3:\/\/bucket-1\/some\/prefix: 403 AccessDenied: .*credentials/,
  );
  expect(s3.fake.stats()).toMatchObject({ objects: 0, openUploads: 0 });
});

test("a wrong secret is forbidden to every call, and no message tells the secret", async () => {
  await using s3 = await openTestS3();
  const credentials = { accessKeyId: "key-id", secretAccessKey: "hunter2" };
  const thief = s3.open("s3://bucket-1", { credentials });
  const calls = [thief.put("a", "x", PNG), thief.get("a"), thief.head("a"), thief.remove("a"), thief.check()];
  const errors = await Promise.all(calls.map(failure));
  expect(errors.map((error) => error.code)).toEqual(calls.map(() => "forbidden"));
  for (const error of errors) expect(error.message).not.toContain("hunter2");
});

test("a missing bucket is an error of its own to every call, never an absent object", async () => {
  await using s3 = await openTestS3();
  const lost = s3.open("s3://no-such-bucket/x");
  const calls = [
    lost.put("a", "x", PNG),
    lost.put("a", streamOf(Buffer.alloc(TWO_PARTS)), PNG),
    lost.putIfAbsent("a", "x", PNG),
    lost.get("a"),
    lost.head("a"),
    lost.removePrefix("a/"),
    lost.check(),
  ];
  const errors = await Promise.all(calls.map(failure));
  expect(errors.map((error) => error.code)).toEqual(calls.map(() => "bucket_missing"));
  expect(errors[0]?.retryable).toBe(false);
});

test("a server that is not there is unavailable", async () => {
  await using s3 = await openTestS3();
  await s3.fake.close();
  const calls = [s3.storage.put("a", "x", PNG), s3.storage.get("a"), s3.storage.head("a")];
  const errors = await Promise.all(calls.map(failure));
  expect(errors.map((error) => error.code)).toEqual(["unavailable", "unavailable", "unavailable"]);
});

test.each(WAYS)("a bucket that stops taking bytes is given up as slow (%s)", async (...way) => {
  await using s3 = await openTestS3({ idleTimeoutMs: 500 });
  const error = await putThrough(s3, { kind: "stall", afterBytes: 100_000, on: ["PutObject", "UploadPart"] }, way);
  expect(error).toMatchObject({ code: "slow", retryable: true });
  expect(s3.fake.stats()).toMatchObject({ objects: 0, openUploads: 0 });
});

test("a bucket that does not answer at all is given up as slow", async () => {
  await using s3 = await openTestS3({ idleTimeoutMs: 500 });
  s3.fake.faults.add({ kind: "delay", delayMs: 60_000 });
  const calls = [s3.storage.put("a", "x", PNG), s3.storage.get("a"), s3.storage.head("a"), s3.storage.remove("a")];
  const errors = await Promise.all(calls.map(failure));
  expect(errors.map((error) => error.code)).toEqual(calls.map(() => "slow"));
});

test.each(WAYS)("a connection cut in the middle of a put is unavailable (%s)", async (...way) => {
  await using s3 = await openTestS3();
  const error = await putThrough(s3, { kind: "cut", afterBytes: 100_000, on: ["PutObject", "UploadPart"] }, way);
  expect(error).toMatchObject({ code: "unavailable", retryable: true });
  expect(s3.fake.stats()).toMatchObject({ objects: 0, openUploads: 0 });
});

test("a download that stalls, breaks off or is shorter than told fails instead of ending early", async () => {
  await using s3 = await openTestS3({ idleTimeoutMs: 500 });
  await s3.storage.put("a", randomBytes(600_000), PNG);
  const read = async (fault: Fault) => {
    const active = s3.fake.faults.add({ ...fault, on: ["GetObject"] });
    const error = await failure(s3.storage.get("a").then(({ body }) => buffer(body)));
    active.remove();
    return error.code;
  };
  expect(await read({ kind: "stall", afterBytes: 100_000 })).toBe("slow");
  expect(await read({ kind: "cut", afterBytes: 100_000 })).toBe("unavailable");
  expect(await read({ kind: "truncate", toBytes: 100_000 })).toBe("checksum_mismatch");
  expect(await read({ kind: "wrong_checksum" })).toBe("checksum_mismatch");
  expect(await buffer((await s3.storage.get("a")).body)).toHaveLength(600_000);
});

test.each(WAYS)("an answer that confirms another checksum is not believed (%s)", async (...way) => {
  await using s3 = await openTestS3();
  for (const on of [["PutObject", "UploadPart"], ["PutObject", "CompleteMultipartUpload"], ["HeadObject"]] as const) {
    const error = await putThrough(s3, { kind: "wrong_checksum", on }, way);
    expect(error).toMatchObject({ code: "checksum_mismatch", retryable: true });
    expect(s3.fake.stats().openUploads).toBe(0);
  }
});

test("without checksums the ETag tells that the bucket holds another version", async () => {
  await using s3 = await openTestS3({ checksums: "when_required" });
  const error = await putThrough(s3, { kind: "wrong_checksum", on: ["HeadObject"] }, WAYS[0]);
  expect(error.code).toBe("checksum_mismatch");
});

test.each(WAYS)("a bucket that kept fewer bytes than it took is found out (%s)", async (...way) => {
  await using s3 = await openTestS3();
  const error = await putThrough(s3, { kind: "truncate", toBytes: 1000, on: ["HeadObject"] }, way);
  expect(error).toMatchObject({ code: "size_mismatch", retryable: true });
});

test("a bucket that took an object and does not show it is not believed", async () => {
  await using s3 = await openTestS3();
  const error = await putThrough(s3, { kind: "error", code: "NoSuchKey", on: ["HeadObject"] }, WAYS[1]);
  expect(error).toMatchObject({ code: "unavailable", retryable: true });
});

test.each([false, true])("a failing Complete takes the upload back (error in a 200: %s)", async (as200) => {
  await using s3 = await openTestS3();
  const error = await putThrough(
    s3,
    { kind: "error", code: "InternalError", as200, on: ["CompleteMultipartUpload"] },
    WAYS[2],
  );
  expect(error).toMatchObject({ code: "unavailable", retryable: true });
  expect(s3.fake.stats()).toMatchObject({ objects: 0, openUploads: 0, requests: { AbortMultipartUpload: 1 } });
});

test("a Complete whose answer was lost counts: the bucket has the object", async () => {
  await using s3 = await openTestS3({ maxAttempts: 3 });
  const lost = s3.fake.faults.add({ kind: "lose_answer", on: ["CompleteMultipartUpload"], times: 1 });
  const bytes = randomBytes(TWO_PARTS);
  expect(await s3.storage.put("a", streamOf(bytes), PNG)).toMatchObject({ sizeBytes: TWO_PARTS });
  expect(lost.hits).toBe(1);
  expect((await buffer((await s3.storage.get("a")).body)).equals(bytes)).toBe(true);
});

test("an upload that is aborted between its parts leaves nothing in the bucket", async () => {
  await using s3 = await openTestS3();
  const stopper = new AbortController();
  const put = s3.storage.put("a", silentStream(TWO_PARTS), { ...PNG, signal: stopper.signal });
  await expect.poll(() => s3.fake.stats().requests.UploadPart, PATIENTLY).toBe(1);
  stopper.abort();
  expect((await failure(put)).code).toBe("aborted");
  expect(s3.fake.stats()).toMatchObject({ objects: 0, openUploads: 0 });
});

test("a refused part ends the put at once, even while its body is silent", async () => {
  await using s3 = await openTestS3();
  s3.fake.faults.add({ kind: "error", code: "AccessDenied", on: ["UploadPart"] });
  expect((await failure(s3.storage.put("a", silentStream(TWO_PARTS), PNG))).code).toBe("forbidden");
  expect(s3.fake.stats()).toMatchObject({ objects: 0, openUploads: 0 });
});

test("an announced gigabyte that ends early is refused, and its parts are taken back", async () => {
  await using s3 = await openTestS3();
  const short = s3.storage.put("a", streamOf(Buffer.alloc(TWO_PARTS)), { ...PNG, sizeBytes: 1_000_000_000 });
  expect((await failure(short)).code).toBe("size_mismatch");
  expect(s3.fake.stats()).toMatchObject({ objects: 0, openUploads: 0 });
});

test("sweep takes back what a killed writer left, and only what is old enough and below the prefix", async () => {
  let nowMs = Date.now();
  await using s3 = await openTestS3({ nowMs: () => nowMs });
  // a writer that was killed could not take its upload back either
  s3.fake.faults.add({ kind: "error", code: "SlowDown", on: ["UploadPart", "AbortMultipartUpload"] });
  await failure(s3.storage.put("a", streamOf(Buffer.alloc(TWO_PARTS)), PNG));
  s3.fake.faults.clear();
  expect(s3.fake.stats().openUploads).toBe(1);
  expect(await s3.storage.sweep({ olderThanMs: 3_600_000 })).toEqual({ removed: 0 });
  nowMs += 3_700_000;
  expect(await s3.open("s3://bucket-1/elsewhere").sweep({ olderThanMs: 3_600_000 })).toEqual({ removed: 0 });
  expect(await s3.storage.sweep({ olderThanMs: 3_600_000 })).toEqual({ removed: 1 });
  expect(s3.fake.stats().openUploads).toBe(0);
});

test("a seal whose answer was lost is known as our own, and somebody else's is not", async () => {
  await using s3 = await openTestS3({ maxAttempts: 3 });
  s3.fake.faults.add({ kind: "lose_answer", on: ["PutObject"], times: 1 });
  expect(await s3.storage.putIfAbsent("mine", "our manifest", JSON_TYPE)).toEqual({ created: true });
  await s3.storage.put("theirs", "their manifest!", JSON_TYPE);
  s3.fake.faults.add({ kind: "lose_answer", on: ["PutObject"], times: 1 });
  expect(await s3.storage.putIfAbsent("theirs", "our manifest..!", JSON_TYPE)).toEqual({ created: false });
  expect(await readText(s3.storage, "theirs")).toBe("their manifest!");
});

test("a part that is held up is sent as it was read, while others overtake it", async () => {
  await using s3 = await openTestS3();
  const held = s3.fake.faults.add({ kind: "delay", delayMs: 400, on: ["UploadPart"], times: 1 });
  const bytes = randomBytes(5 * TWO_PARTS);
  await s3.storage.put("a", streamOf(bytes), PNG);
  expect(held.hits).toBe(1);
  expect((await buffer((await s3.storage.get("a")).body)).equals(bytes)).toBe(true);
});

test("a seal that the bucket took and does not show, or holds half of, is not believed, and found again", async () => {
  await using s3 = await openTestS3();
  const seal = () => s3.storage.putIfAbsent("seal", "0123456789", JSON_TYPE);
  const gone = s3.fake.faults.add({ kind: "error", code: "NoSuchKey", on: ["HeadObject"] });
  expect((await failure(seal())).code).toBe("unavailable");
  gone.remove();
  expect(await seal()).toEqual({ created: false });
  expect(await readText(s3.storage, "seal")).toBe("0123456789");
  await s3.storage.remove("seal");
  s3.fake.faults.add({ kind: "truncate", toBytes: 4, on: ["HeadObject"] });
  expect((await failure(seal())).code).toBe("size_mismatch");
});

test("a conflict with a seal under way is tried again, and then the bucket decides", async () => {
  await using s3 = await openTestS3();
  const conflict = { kind: "error", code: "ConditionalRequestConflict", on: ["PutObject"] } as const;
  s3.fake.faults.add({ ...conflict, times: 2 });
  expect(await s3.storage.putIfAbsent("a", "x", JSON_TYPE)).toEqual({ created: true });
  s3.fake.faults.add(conflict);
  const [taken, free] = [s3.storage.putIfAbsent("a", "y", JSON_TYPE), s3.storage.putIfAbsent("b", "y", JSON_TYPE)];
  expect(await taken).toEqual({ created: false });
  expect(await failure(free)).toMatchObject({ code: "unavailable", retryable: true });
});

test("a store without conditional puts is unsupported, not busy", async () => {
  await using s3 = await openTestS3();
  s3.fake.faults.add({ kind: "error", code: "NotImplemented", on: ["PutObject"] });
  const error = await failure(s3.storage.putIfAbsent("a", "x", JSON_TYPE));
  expect(error).toMatchObject({ code: "unsupported", retryable: false });
});

test("more objects than one page are listed and removed page by page", async () => {
  await using s3 = await openTestS3({}, { mostKeysPerPage: 10 });
  const names = Array.from({ length: 25 }, (_, index) => `many/${String(index).padStart(3, "0")}`);
  await Promise.all(names.map((name) => s3.storage.putIfAbsent(name, "", PNG)));
  const listed: string[] = [];
  for await (const { key } of s3.storage.list("many/")) listed.push(key);
  expect(listed).toEqual(names);
  expect(s3.fake.stats().requests.ListObjectsV2).toBe(3);
  expect(await s3.storage.removePrefix("many/")).toEqual({ removed: 25 });
  expect(s3.fake.stats().objects).toBe(0);
});

test("a body of bytes is sent again by the SDK, a streamed one is left to the caller", async () => {
  await using s3 = await openTestS3({ maxAttempts: 3 });
  s3.fake.faults.add({ kind: "cut", afterBytes: 100_000, on: ["PutObject"], times: 1 });
  await s3.storage.put("a", randomBytes(2_000_000), PNG);
  s3.fake.faults.add({ kind: "cut", afterBytes: 100_000, on: ["PutObject"], times: 1 });
  const streamed = s3.storage.put("a", Readable.from([randomBytes(2_000_000)]), { ...PNG, sizeBytes: 2_000_000 });
  expect(await failure(streamed)).toMatchObject({ code: "unavailable", retryable: true });
});

test("a store that has no CopyObject gets the bytes from us", async () => {
  await using s3 = await openTestS3();
  await s3.storage.put("a", "x", PNG);
  s3.fake.faults.add({ kind: "error", code: "NotImplemented", on: ["CopyObject"] });
  expect(await s3.storage.copy("a", "b")).toMatchObject({ key: "b", totalBytes: 1, contentType: "image/png" });
  expect(await readText(s3.storage, "b")).toBe("x");
});

test("a copy that the bucket refuses, or makes of half the object, is told", async () => {
  await using s3 = await openTestS3();
  await s3.storage.put("a", "0123456789", PNG);
  const refused = s3.fake.faults.add({ kind: "error", code: "AccessDenied", on: ["CopyObject"], times: 1 });
  expect((await failure(s3.storage.copy("a", "b"))).code).toBe("forbidden");
  expect(refused.hits).toBe(1);
  const failed = s3.fake.faults.add({
    kind: "error",
    code: "InternalError",
    as200: true,
    on: ["CopyObject"],
    times: 1,
  });
  expect((await failure(s3.storage.copy("a", "b"))).code).toBe("unavailable");
  expect(failed.hits).toBe(1);
  s3.fake.faults.add({ kind: "truncate", toBytes: 4, on: ["HeadObject"], keyPrefix: "some/prefix/b" });
  expect((await failure(s3.storage.copy("a", "b"))).code).toBe("size_mismatch");
});

test.each(["r2", "old"] as const)(
  "a store that does not know checksums (%s) is unsupported, and told which setting mends it",
  async (dialect) => {
    await using s3 = await openTestS3({ checksums: "when_supported" }, { dialect });
    for (const size of [10, 2_000_000]) {
      const error = await failure(s3.storage.put("a", streamOf(Buffer.alloc(size)), { ...PNG, sizeBytes: size }));
      expect(error).toMatchObject({ code: "unsupported", message: expect.stringContaining("S3_CHECKSUMS") });
    }
    expect((await failure(s3.storage.put("a", streamOf(Buffer.alloc(TWO_PARTS)), PNG))).code).toBe("unsupported");
    expect(s3.fake.stats()).toMatchObject({ objects: 0, openUploads: 0 });
    const mended = s3.open("s3://bucket-1", { checksums: "when_required" });
    await mended.put("a", streamOf(Buffer.alloc(2_000_000)), { ...PNG, sizeBytes: 2_000_000 });
    expect((await mended.head("a"))?.totalBytes).toBe(2_000_000);
  },
);

test("a store that does not see If-None-Match is found out before any job trusts it", async () => {
  await using s3 = await openTestS3({ checksums: "when_required" }, { dialect: "old" });
  const error = await failure(s3.storage.check());
  expect(error).toMatchObject({ code: "unsupported", message: expect.stringContaining("If-None-Match") });
  expect(s3.fake.stats().objects).toBe(0);
});
