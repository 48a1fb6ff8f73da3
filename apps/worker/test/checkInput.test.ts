import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { checkInput, type Expected } from "../src/inputs/check/checkInput.ts";
import { expectedOf } from "../src/inputs/check/expectedOf.ts";

const u16 = (value: number) => Buffer.from([value & 255, value >> 8]);
const u32 = (value: number) => Buffer.from(Uint32Array.of(value).buffer);
const swapped = (bytes: Buffer) => Buffer.from(bytes).reverse();
const text = (value: string) => Buffer.from(value, "latin1");
const join = (...parts: readonly Buffer[]) => Buffer.concat(parts);

const chunk = (type: string, content: Buffer) =>
  join(swapped(u32(content.length)), text(type), content, Buffer.alloc(4));
const png = (width: number, height: number, ...more: readonly Buffer[]) =>
  join(
    text("\x89PNG\r\n\x1a\n"),
    chunk("IHDR", join(swapped(u32(width)), swapped(u32(height)), Buffer.from([8, 6, 0, 0, 0]))),
    ...more,
    chunk("IDAT", Buffer.alloc(1_000_000)),
  );
const jpeg = (width: number, height: number) =>
  join(
    Buffer.from([0xff, 0xd8, 0xff, 0xe1, 0x40, 0x00]),
    Buffer.alloc(0x3ffe), // as much metadata as a camera writes
    Buffer.from([0xff, 0xff, 0xc2, 0x00, 0x11, 0x08]),
    swapped(u16(height)),
    swapped(u16(width)),
    Buffer.alloc(20),
  );
const gif = (width: number, height: number, frames: number) => {
  const frame = join(
    Buffer.from([0x21, 0xf9, 4, 0, 0, 0, 0, 0]),
    Buffer.from([0x2c]),
    u16(0),
    u16(0),
    u16(width),
    u16(height),
    Buffer.from([0, 2, 3, 1, 2, 3, 0]),
  );
  return join(
    text("GIF89a"),
    u16(width),
    u16(height),
    Buffer.from([0x80, 0, 0]),
    Buffer.alloc(6),
    ...Array.from({ length: frames }, () => frame),
    text(";"),
  );
};
const bmp = (width: number, height: number) =>
  join(text("BM"), Buffer.alloc(12), u32(40), u32(width), Buffer.from(Int32Array.of(-height).buffer), Buffer.alloc(30));
const riff = (...chunks: readonly Buffer[]) => {
  const body = join(text("WEBP"), ...chunks);
  return join(text("RIFF"), u32(body.length), body);
};
const webpChunk = (type: string, content: Buffer) => join(text(type), u32(content.length), content);
const u24 = (value: number) => u32(value).subarray(0, 3);
const webp = {
  lossy: (w: number, h: number) =>
    riff(webpChunk("VP8 ", join(Buffer.from([0, 0, 0, 0x9d, 0x01, 0x2a]), u16(w), u16(h), Buffer.alloc(8)))),
  lossless: (w: number, h: number) =>
    riff(webpChunk("VP8L", join(Buffer.from([0x2f]), u32((((h - 1) << 14) | (w - 1)) >>> 0), Buffer.alloc(8)))),
  animated: (w: number, h: number, frames: number) =>
    riff(
      webpChunk("VP8X", join(Buffer.from([2, 0, 0, 0]), u24(w - 1), u24(h - 1))),
      webpChunk("ANIM", Buffer.alloc(6)),
      ...Array.from({ length: frames }, () => webpChunk("ANMF", Buffer.alloc(16))),
    ),
};
const tiff = (width: number, height: number, pages: number) => {
  const directories = Array.from({ length: pages }, (_, at) => {
    const next = at + 1 === pages ? 0 : 8 + (at + 1) * 30;
    return join(u16(2), u16(256), u16(4), u32(1), u32(width), u16(257), u16(4), u32(1), u32(height), u32(next));
  });
  return join(text("II*\0"), u32(8), ...directories);
};
const bigTiff = (width: number, height: number) => {
  const be = (value: number, bytes: number) => join(Buffer.alloc(bytes - 4), swapped(u32(value)));
  const entry = (tag: number, value: number) =>
    join(swapped(u16(tag)), swapped(u16(4)), be(1, 8), swapped(u32(value)), Buffer.alloc(4));
  return join(
    text("MM\0+"),
    swapped(u16(8)),
    swapped(u16(0)),
    be(16, 8),
    be(2, 8),
    entry(256, width),
    entry(257, height),
    be(0, 8),
  );
};
const avif = (width: number, height: number) =>
  join(
    swapped(u32(16)),
    text("ftypavif"),
    u32(0),
    swapped(u32(200)),
    text("meta"),
    ...[[8, 8] as const, [width, height] as const].map(([w, h]) =>
      join(swapped(u32(20)), text("ispe"), u32(0), swapped(u32(w)), swapped(u32(h))),
    ),
  );

const MILLION = 1_000_000;

async function fate(bytes: Buffer, expected: Expected = "image", extension = ".png"): Promise<string> {
  const file = {
    sizeBytes: bytes.length,
    read: async (position: number, length: number) => bytes.subarray(position, position + length),
  };
  const options = { label: "1.inputs.image", shown: "https://host/a", expected, extension, maxPixels: MILLION };
  return checkInput(file, options).then(
    () => "taken",
    (error: { failure: { code: string; message: string } }) => `${error.failure.code}: ${error.failure.message}`,
  );
}

describe("an image", () => {
  test.each<[string, (width: number, height: number) => Buffer]>([
    ["PNG", png],
    ["JPEG", jpeg],
    ["GIF", (w, h) => gif(w, h, 1)],
    ["BMP", bmp],
    ["WebP", webp.lossy],
    ["WebP", webp.lossless],
    ["WebP", (w, h) => webp.animated(w, h, 1)],
    ["TIFF", (w, h) => tiff(w, h, 1)],
    ["TIFF", bigTiff],
    ["AVIF", avif],
  ])("of the format %s is measured by its header: the last pixel too many is refused", async (format, make) => {
    expect(await fate(make(1_000, 1_000))).toBe("taken");
    expect(await fate(make(1_001, 1_000))).toBe(
      `input_too_large: Input 1.inputs.image: it is a ${format} of 1001 x 1000 pixels, and at most 1000000 pixels in all are taken (COMFYQ_MAX_INPUT_PIXELS)`,
    );
    expect(await fate(make(1_001, 1_000), "anything", ".bin")).toContain("input_too_large");
  });

  test.each<[string, (frames: number) => Buffer]>([
    ["GIF", (frames) => gif(100, 100, frames)],
    [
      "PNG",
      (frames) => png(100, 100, chunk("tEXt", Buffer.alloc(70_000)), chunk("acTL", join(swapped(u32(frames)), u32(0)))),
    ],
    ["WebP", (frames) => webp.animated(100, 100, frames)],
    ["TIFF", (frames) => tiff(100, 100, frames)],
  ])("of the format %s that moves counts with all its frames", async (format, make) => {
    expect(await fate(make(100))).toBe("taken");
    expect(await fate(make(101))).toContain(`it is a ${format} of 100 x 100 pixels in 101 frames`);
  });

  test("of 50,000 x 50,000 pixels in 1 MB is refused by its header", async () => {
    expect(await fate(png(50_000, 50_000))).toContain(
      "input_too_large: Input 1.inputs.image: it is a PNG of 50000 x 50000",
    );
  });

  test("whose frames are larger than its screen is measured by its frames", async () => {
    const bytes = gif(5_000, 5_000, 1);
    bytes.writeUInt16LE(1, 6);
    bytes.writeUInt16LE(1, 8);
    expect(await fate(bytes)).toContain("GIF of 5000 x 5000");
  });

  test("that is cut off anywhere in its header never ends the check in another way than by a refusal or a pass", async () => {
    const whole = [
      png(9, 9).subarray(0, 64),
      jpeg(9, 9).subarray(0, 40),
      gif(9, 9, 2),
      bmp(9, 9),
      webp.animated(9, 9, 2),
      tiff(9, 9, 2),
      bigTiff(9, 9),
      avif(9, 9),
    ];
    for (const bytes of whole)
      for (let length = 0; length < bytes.length; length += 1)
        expect(await fate(bytes.subarray(0, length))).toMatch(/^(taken|input_unavailable: .*)$/s);
  });

  test("whose pages point at each other in a circle is measured, and not for ever", async () => {
    const bytes = tiff(10, 10, 2);
    bytes.writeUInt32LE(8, bytes.length - 4);
    expect(await fate(bytes)).toBe("taken");
  });
});

describe("what is no image", () => {
  test.each<[string, Buffer]>([
    ["an HTML page", text("\n<!DOCTYPE html><html><body>404")],
    ["an HTML page", text("<!-- x -->\n<html lang=de>")],
    ["an error in XML", text('<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>')],
    ["an XML document", text('<?xml version="1.0"?><COLLADA/>')],
    ["JSON", text('{"error": "not found"}')],
    ["an SVG", text('<svg xmlns="http://www.w3.org/2000/svg"/>')],
    ["a zip archive", join(text("PK\x03\x04"), Buffer.alloc(100))],
    ["a gzip archive", gzipSync(png(1, 1))],
    ["MP4", join(u32(0), text("ftypisom"))],
    ["a PDF", text("%PDF-1.7")],
    ["Photoshop", text("8BPS")],
    ["something", text("plain words")],
  ])("%s is refused where an image is loaded, whatever it is called", async (name, bytes) => {
    expect(await fate(bytes)).toBe(
      `input_unavailable: Input 1.inputs.image: https://host/a gave ${name} that is no image of a kind that is taken: PNG, JPEG, GIF, WebP, TIFF, AVIF, BMP`,
    );
  });

  test("a page instead of a file is refused everywhere, unless a page is what was asked for", async () => {
    const page = text("<html>please log in</html>");
    expect(await fate(page, "anything", ".mp4")).toContain("gave an HTML page instead of a file");
    expect(await fate(page, "anything", ".html")).toBe("taken");
    expect(await fate(text("<Error><Code>NoSuchKey</Code></Error>"), "anything", ".wav")).toContain(
      "gave an error in XML",
    );
  });

  test("any other file passes by where nobody wants an image: sound, films, archives, text", async () => {
    for (const bytes of [
      text("PK\x03\x04"),
      text("ID3"),
      text("OggS"),
      text("words"),
      text('{"a":1}'),
      text("fLaC"),
      text("<?xml version='1.0'?><COLLADA/>"),
    ])
      expect(await fate(bytes, "anything", ".bin")).toBe("taken");
  });

  test("no bytes at all are refused", async () => {
    expect(await fate(Buffer.alloc(0), "anything")).toContain("gave no bytes at all");
  });
});

test("what is expected is known from the node that loads it, by address and by destination", () => {
  const workflow = {
    "1": { class_type: "LoadImage", inputs: { image: "a.png", upload: "image" } },
    "2": { class_type: "LoadAudio", inputs: { audio: "b.wav" } },
    "3": { class_type: "LoadImageMask", inputs: { image: "sub/m.png", channel: "red" } },
  };
  for (const label of ["1.inputs.image", "3-inputs-image", "/input/a.png", "/input/sub/m.png"])
    expect(expectedOf(workflow, label)).toBe("image");
  for (const label of ["2.inputs.audio", "/input/b.wav", "/input/c", "9.inputs.image", "1.inputs.upload"])
    expect(expectedOf(workflow, label)).toBe("anything");
});
