import { expect, test } from "vitest";
import { openStorage, verifyFolderUpload } from "../src/index.ts";
import { CREDENTIALS, failure, openTestFolder, openTestS3, readText } from "./stores.ts";

const START_MS = Date.UTC(2026, 5, 1);
const SECRET = "a secret";

test("a bucket's link stores exactly as many bytes as were announced, and nothing once it has expired", async () => {
  await using s3 = await openTestS3();
  const { url, method, headers, expiresAtMs } = await s3.storage.uploadLink("uploads/a b.png", { sizeBytes: 5 });
  expect(expiresAtMs).toBeGreaterThan(Date.now() + 3_500_000);
  const put = (body: string, to = url, more = headers) => fetch(to, { method, headers: more, body });
  expect((await put("longer than that")).status).toBe(403);
  expect((await put("abc")).status).toBe(403);
  expect((await put("12345", url, { "Content-Type": "text/html" })).status).toBe(403);
  expect((await put("12345", url.replace("a%20b", "c"))).status).toBe(403);
  expect(await s3.storage.head("uploads/a b.png")).toBeUndefined();
  expect((await put("12345")).status).toBe(200);
  expect(await readText(s3.storage, "uploads/a b.png")).toBe("12345");
  const late = s3.open("s3://bucket-1", { credentials: CREDENTIALS, nowMs: () => Date.now() - 120_000 });
  const old = await late.uploadLink("uploads/late", { sizeBytes: 1, ttlSeconds: 60 });
  expect((await put("x", old.url, old.headers)).status).toBe(403);
});

test("a folder's link is accepted for its key and size until it expires, and refused when any part was changed", async () => {
  const options = { uploadBase: "http://127.0.0.1:1/v1/uploads", linkSecret: SECRET, nowMs: () => START_MS };
  const storage = openStorage("/nowhere/at/all", options);
  const link = await storage.uploadLink("uploads/t/a b", { sizeBytes: 7, ttlSeconds: 60 });
  expect(link).toMatchObject({ method: "PUT", headers: {}, expiresAtMs: START_MS + 60_000 });
  const ask = (url: string, change: { secret?: string; nowMs?: number } = {}) => {
    const { pathname, searchParams } = new URL(url);
    const key = decodeURIComponent(pathname.slice("/v1/uploads/".length));
    const query = Object.fromEntries(searchParams);
    return verifyFolderUpload({ key, query, secret: SECRET, nowMs: START_MS, ...change });
  };
  expect(ask(link.url)).toEqual({ valid: true, sizeBytes: 7 });
  expect(ask(link.url, { nowMs: START_MS + 60_000 })).toEqual({ valid: false, reason: "expired" });
  const changed = [
    link.url.replace("/t/", "/u/"),
    link.url.replace("size=7", "size=8"),
    link.url.replace(/expires=\d/, "expires=9"),
    link.url.replace(/signature=.{3}/, "signature=AAA"),
  ];
  for (const url of changed) expect(ask(url)).toEqual({ valid: false, reason: "signature" });
  expect(ask(link.url, { secret: "another" })).toEqual({ valid: false, reason: "signature" });
  for (const url of [
    link.url.replace("size=7", "size=-1"),
    link.url.replace(/&signature.*/, ""),
    link.url.replace("/t/", "/%2e%2e/"),
  ])
    expect(ask(url).valid).toBe(false);
});

test("a link to read a folder's file is none to write it", async () => {
  const options = { linkBase: "http://127.0.0.1:1/files", linkSecret: SECRET, nowMs: () => START_MS };
  const { url } = await openStorage("/nowhere/at/all", options).link("a", { downloadName: "a" });
  const query = { ...Object.fromEntries(new URL(url).searchParams), size: "1" };
  expect(verifyFolderUpload({ key: "a", query, secret: SECRET, nowMs: START_MS })).toEqual({
    valid: false,
    reason: "signature",
  });
});

test("a folder that nobody takes uploads for gives no links for them", async () => {
  await using folder = await openTestFolder();
  expect(await failure(folder.storage.uploadLink("a", { sizeBytes: 1 }))).toMatchObject({ code: "not_configured" });
});
