import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { openStorage, type Storage, verifyFolderLink } from "../src/index.ts";
import { failure, openTestFolder, openTestS3 } from "./stores.ts";

const START_MS = Date.UTC(2026, 5, 1);
const BASE = "http://127.0.0.1:8190/files/";
const SECRET = "a secret";

function folderWithLinks(nowMs: () => number): Storage {
  return openStorage("/nowhere/at/all", { linkBase: BASE, linkSecret: SECRET, nowMs });
}

/** What the API does with a request for a link. */
function ask(url: string, change: { secret?: string; nowMs?: number } = {}) {
  const { pathname, searchParams } = new URL(url);
  const key = decodeURIComponent(pathname.slice("/files/".length));
  const query = Object.fromEntries(searchParams);
  return verifyFolderLink({ key, query, secret: SECRET, nowMs: START_MS, ...change });
}

test("a folder's link is accepted with what it was signed for, until it expires", async () => {
  const storage = folderWithLinks(() => START_MS);
  const { url, expiresAtMs } = await storage.link("a b/ü&?#%.png", { ttlSeconds: 60, downloadName: 'my "fox".png' });
  expect(url).toMatch(/^http:\/\/127\.0\.0\.1:8190\/files\/a%20b\/%C3%BC%26%3F%23%25\.png\?/);
  expect(expiresAtMs).toBe(START_MS + 60_000);
  expect(ask(url)).toEqual({ valid: true, downloadName: 'my "fox".png' });
  expect(ask(url, { nowMs: expiresAtMs - 1 })).toMatchObject({ valid: true });
  expect(ask(url, { nowMs: expiresAtMs })).toEqual({ valid: false, reason: "expired" });
});

test("a folder's link that was changed in any part, or signed with another secret, is refused", async () => {
  const { url } = await folderWithLinks(() => START_MS).link("jobs/1/a.png", { contentType: "image/png" });
  const changed = [
    url.replace("jobs/1", "jobs/2"),
    url.replace(/expires=\d/, "expires=9"),
    url.replace("name=a.png", "name=a.exe"),
    url.replace("type=image%2Fpng", "type=video%2Fmp4"),
    url.replace(/&type=[^&]*/, ""),
    url.replace(/signature=.{3}/, "signature=AAA"),
  ];
  expect(changed.filter((each) => each === url)).toEqual([]);
  expect(changed.map((each) => ask(each))).toEqual(changed.map(() => ({ valid: false, reason: "signature" })));
  expect(ask(url, { secret: "another" })).toEqual({ valid: false, reason: "signature" });
  expect(ask(url)).toEqual({ valid: true, downloadName: "a.png", contentType: "image/png" });
});

test("what is no link at all is malformed, whatever its shape", () => {
  const good = { expires: "1800000000", name: "a", signature: "AAAA" };
  const queries: Record<string, unknown>[] = [
    {},
    { ...good, signature: undefined },
    { ...good, expires: "soon" },
    { ...good, expires: ["1", "2"] },
    { ...good, name: { a: 1 } },
  ];
  const verdicts = queries.map((query) => verifyFolderLink({ key: "a", query, secret: SECRET, nowMs: 0 }));
  expect(verdicts).toEqual(queries.map(() => ({ valid: false, reason: "malformed" })));
  const escaping = verifyFolderLink({ key: "../../etc/passwd", query: good, secret: SECRET, nowMs: 0 });
  expect(escaping).toEqual({ valid: false, reason: "malformed" });
});

test("a link lives an hour, and never longer than seven days", async () => {
  const storage = folderWithLinks(() => START_MS);
  expect((await storage.link("a")).expiresAtMs).toBe(START_MS + 3_600_000);
  expect((await storage.link("a", { ttlSeconds: 1e9 })).expiresAtMs).toBe(START_MS + 7 * 86_400_000);
});

test("no link makes a browser run what it points to", async () => {
  const { url } = await folderWithLinks(() => START_MS).link("a.html", { contentType: "text/html" });
  expect(ask(url)).toMatchObject({ contentType: "application/octet-stream" });
  await using s3 = await openTestS3();
  await s3.storage.put("a.html", "<script>", { contentType: "text/html" });
  const answer = await fetch((await s3.storage.link("a.html", { contentType: "text/html" })).url);
  expect(answer.headers.get("content-type")).toBe("application/octet-stream");
  expect(answer.headers.get("content-disposition")).toBe('attachment; filename="a.html"');
});

test("a folder without link base or secret gives no links and says what is missing", async () => {
  await using folder = await openTestFolder({ linkSecret: "" });
  const error = await failure(folder.storage.link("a"));
  expect(error).toMatchObject({ code: "not_configured", message: expect.stringContaining("link secret") });
});

test("a bucket's link gives the bytes without credentials, under the name that was asked", async () => {
  await using s3 = await openTestS3();
  const bytes = randomBytes(50_000);
  await s3.storage.put("a b/ü.png", bytes, { contentType: "image/png" });
  const { url, expiresAtMs } = await s3.storage.link("a b/ü.png", { downloadName: "Füchse 🦊.png" });
  expect(url).not.toMatch(/checksum/i);
  expect(expiresAtMs).toBeGreaterThan(Date.now() + 3_590_000);
  const answer = await fetch(url);
  expect(Buffer.from(await answer.arrayBuffer()).equals(bytes)).toBe(true);
  expect(answer.headers.get("content-type")).toBe("image/png");
  const disposition = `attachment; filename="F_chse __.png"; filename*=UTF-8''F%C3%BCchse%20%F0%9F%A6%8A.png`;
  expect(answer.headers.get("content-disposition")).toBe(disposition);
  const part = await fetch(url, { headers: { range: "bytes=10-19" } });
  expect([part.status, Buffer.from(await part.arrayBuffer()).equals(bytes.subarray(10, 20))]).toEqual([206, true]);
});

test("a bucket's link ends when it says, and is good for nothing else", async () => {
  let nowMs = Date.now();
  await using s3 = await openTestS3({}, { nowMs: () => nowMs });
  await s3.storage.put("a", "x", { contentType: "image/png" });
  const { url, expiresAtMs } = await s3.storage.link("a", { ttlSeconds: 60 });
  expect((await fetch(url)).status).toBe(200);
  expect((await fetch(url.replace("/a?", "/b?"))).status).toBe(403);
  expect((await fetch(url, { method: "DELETE" })).status).toBe(403);
  nowMs = expiresAtMs + 1_000;
  expect((await fetch(url)).status).toBe(403);
});

test("links are signed for the address customers reach, not for ours", async () => {
  await using s3 = await openTestS3();
  const storage = s3.open("s3://bucket-1", { linkEndpoint: "https://files.example.com" });
  await storage.put("a", "x", { contentType: "image/png" });
  expect((await storage.link("a")).url).toMatch(/^https:\/\/files\.example\.com\/bucket-1\/a\?/);
});
