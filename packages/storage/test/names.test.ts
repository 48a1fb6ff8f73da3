import { expect, test } from "vitest";
import {
  attachmentHeader,
  checkKey,
  contentTypeOf,
  openStorage,
  safeContentType,
  safeKeySegment,
} from "../src/index.ts";

/** The corpus of reference/security.md, "path traversal", and what else came to mind. */
const HOSTILE = [
  "",
  ".",
  "..",
  "../",
  "../../etc/passwd",
  "..\\..\\boot.ini",
  "%2e%2e/%2e%2e/x",
  "....//....//x",
  "/absolute.png",
  "C:\\windows\\x.png",
  "\\\\?\\C:\\x.png",
  "nul\0byte.png",
  "/proc/self/environ",
  "a/../../b.png",
  "x".repeat(4096),
  "é".repeat(300),
  "trailing. ",
  "full／width＼slash.png",
  "name.png [output]",
  "CON",
  "com1.txt",
  "line\nbreak.png",
  "gnp\u202egnp.exe",
  "e\u0301.png",
  "\ud800.png",
  ".hidden",
  "a.png;rm -rf",
  "<svg onload=1>.png",
  "🎨.png",
];

test.each(HOSTILE)("the hostile name %j becomes a safe segment", (name) => {
  const segment = safeKeySegment(name);
  expect(checkKey(segment)).toBe(segment);
  expect(segment).toMatch(/^[\p{L}\p{N}][\p{L}\p{M}\p{N} ._()-]*-[0-9a-f]{10}(\.[A-Za-z0-9]+)?$/u);
  expect(Buffer.byteLength(segment)).toBeLessThanOrEqual(200);
  expect(safeKeySegment(name)).toBe(segment);
});

test("different hostile names become different segments, and keep their extension", () => {
  expect(new Set(HOSTILE.map(safeKeySegment)).size).toBe(HOSTILE.length);
  expect(safeKeySegment("../a.png")).not.toBe(safeKeySegment("..\\a.png"));
  expect(safeKeySegment("../../ComfyUI_00001_.png")).toMatch(/^ComfyUI_00001_-[0-9a-f]{10}\.png$/);
  expect(safeKeySegment("/models/x.safetensors")).toMatch(/\.safetensors$/);
});

test.each(["ComfyUI_00001_.png", "Füchse (2).webp", "日本.mp4", "a-b_c.tar.gz", "_x.png"])(
  "%s stays as it is",
  (name) => {
    expect(safeKeySegment(name)).toBe(name);
  },
);

test.each([
  ["ComfyUI_00001_.png", "image/png"],
  ["a/b/CLIP.MP4", "video/mp4"],
  ["x.webm", "video/webm"],
  ["x.flac", "audio/flac"],
  ["mesh.glb", "model/gltf-binary"],
  ["note.txt", "text/plain; charset=utf-8"],
  ["lora.safetensors", "application/octet-stream"],
  ["manifest.json", "application/json"],
  ["page.html", "application/octet-stream"],
  ["drawing.svg", "application/octet-stream"],
  ["feed.xml", "application/octet-stream"],
  ["code.js", "application/octet-stream"],
  ["noextension", "application/octet-stream"],
  ["png", "application/octet-stream"],
  ["x.constructor", "application/octet-stream"],
  ["x.png.html", "application/octet-stream"],
])("%s is %s", (name, type) => {
  expect(contentTypeOf(name)).toBe(type);
  expect(safeContentType(contentTypeOf(name))).toBe(type);
});

test.each([
  "text/html",
  "TEXT/HTML; charset=utf-8",
  "application/xhtml+xml",
  "image/svg+xml",
  "text/xml",
  "text/javascript",
  "application/x-javascript",
  "application/ecmascript",
  "",
  "png",
  "image/png\r\nset-cookie: a=b",
  "image/png; charset",
])("the content type %j is not kept", (type) => {
  expect(safeContentType(type)).toBe("application/octet-stream");
});

test("a download name cannot break out of its header", () => {
  expect(attachmentHeader("fox.png")).toBe('attachment; filename="fox.png"');
  expect(attachmentHeader('a"b\\c/d\r\nx: y')).toBe('attachment; filename="a_b_c_d__x: y"');
  expect(attachmentHeader("100%.png")).toBe(`attachment; filename="100_.png"; filename*=UTF-8''100%25.png`);
  expect(attachmentHeader("it's (1)*.pñg")).toBe(
    `attachment; filename="it's (1)*.p_g"; filename*=UTF-8''it%27s%20%281%29%2A.p%C3%B1g`,
  );
});

test("a storage URL says which store it is", () => {
  const placeOf = (url: string) => openStorage(url, { region: "eu-west-1" }).place;
  expect(placeOf("s3://my-bucket")).toBe("s3://my-bucket");
  expect(placeOf("s3://my-bucket/a/b/")).toBe("s3://my-bucket/a/b");
  expect(placeOf("file:///data/comfyq")).toBe("file:///data/comfyq");
  expect(placeOf("/data/com fyq")).toBe("file:///data/com%20fyq");
});

test.each([
  "",
  "http://host/x",
  "s3://",
  "s3://Bad_Bucket",
  "s3://bucket/a//b",
  "s3://bucket/../x",
  "s3://key:pw@bucket",
])("%j is refused as a storage URL, without telling a password", (url) => {
  const open = () => openStorage(url);
  expect(open).toThrow(expect.objectContaining({ code: "not_configured" }));
  expect(open).not.toThrow(/pw/);
});
