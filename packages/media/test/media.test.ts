import { crc32, deflateSync } from "node:zlib";
import { Transformer } from "@napi-rs/image";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { makePicture, PictureRefusal, putAlpha, readPictureHead, stripFor, viewPicture } from "../src/index.ts";

const SECRET = '{"6":{"class_type":"CLIPTextEncode","inputs":{"text":"a secret fox"}}}';
const SIGNAL = new AbortController().signal;

function pngChunk(type: string, content: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type), content]);
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(content.length);
  sum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, sum]);
}

/** A picture of random dots, with transparency or without, and with texts. */
function png({ width = 9, height = 7, alpha = false, extra = [] as Buffer[] } = {}): Buffer {
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, alpha ? 6 : 2], 8);
  const row = () => [0, ...Array.from({ length: width * (alpha ? 4 : 3) }, () => (alpha ? 0 : 200))];
  const rows = width * height > 1e6 ? [] : Array.from({ length: height }, row).flat();
  return Buffer.concat([
    Buffer.from("89504e470d0a1a0a", "hex"),
    pngChunk("IHDR", head),
    pngChunk("tEXt", Buffer.from(`prompt\0${SECRET}`)),
    ...extra,
    pngChunk("IDAT", deflateSync(Buffer.from(rows))),
    pngChunk("iTXt", Buffer.from(`workflow\0\0\0\0\0${SECRET}`)),
    pngChunk("IEND", Buffer.alloc(0)),
    Buffer.from(SECRET),
  ]);
}

async function jpeg(): Promise<Buffer> {
  const plain = await new Transformer(png()).jpeg(90);
  const text = Buffer.from(SECRET);
  const segment = (marker: number) => Buffer.from([0xff, marker, 0, text.length + 2]);
  return Buffer.concat([plain.subarray(0, 2), segment(0xe1), text, segment(0xfe), text, plain.subarray(2)]);
}

function riff(...chunks: Buffer[]): Buffer {
  const body = Buffer.concat([Buffer.from("WEBP"), ...chunks]);
  const size = Buffer.alloc(4);
  size.writeUInt32LE(body.length);
  return Buffer.concat([Buffer.from("RIFF"), size, body]);
}

function webpChunk(type: string, content: Buffer): Buffer {
  const size = Buffer.alloc(4);
  size.writeUInt32LE(content.length);
  return Buffer.concat([Buffer.from(type), size, content, Buffer.alloc(content.length % 2)]);
}

async function webp(): Promise<Buffer> {
  const plain = await new Transformer(png()).webpLossless();
  const head = Buffer.from([0x0c, 0, 0, 0, 8, 0, 0, 6, 0, 0]); // EXIF and XMP; 9 x 7
  const texts = [webpChunk("EXIF", Buffer.from(SECRET)), webpChunk("XMP ", Buffer.from(SECRET))];
  return riff(webpChunk("VP8X", head), plain.subarray(12), ...texts);
}

function box(type: string, ...content: Buffer[]): Buffer {
  const body = Buffer.concat(content);
  const size = Buffer.alloc(4);
  size.writeUInt32BE(body.length + 8);
  return Buffer.concat([size, Buffer.from(type, "latin1"), body]);
}

const TEXT = Buffer.from(SECRET);
const MP4 = Buffer.concat([
  box("ftyp", Buffer.from("isom")),
  box(
    "moov",
    box("mvhd", Buffer.alloc(20, 1)),
    box("trak", box("tkhd", Buffer.alloc(9, 2)), box("udta", TEXT)),
    box("udta", box("meta", TEXT)),
  ),
  box("uuid", Buffer.from("be7acfcb97a942e89c71999491e3afac", "hex"), TEXT),
  box("mdat", Buffer.alloc(500, 3)),
]);

function element(id: string, content: Buffer): Buffer {
  const size = Buffer.alloc(8);
  size.writeBigUInt64BE((1n << 56n) | BigInt(content.length));
  return Buffer.concat([Buffer.from(id, "hex"), size, content]);
}

const WEBM = Buffer.concat([
  element("1a45dfa3", Buffer.from("webm")),
  element(
    "18538067",
    Buffer.concat([
      element("1549a966", Buffer.alloc(9, 1)),
      element("1254c367", TEXT),
      element("1f43b675", Buffer.alloc(300, 2)),
    ]),
  ),
]);

const FLAC = Buffer.concat([
  Buffer.from("fLaC"),
  Buffer.from([0, 0, 0, 34]),
  Buffer.alloc(34, 1),
  Buffer.from([0x84, 0, 0, TEXT.length]),
  TEXT,
  Buffer.alloc(400, 2),
]);

async function* pieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function stripped(name: string, bytes: Buffer, size = bytes.length): Promise<Buffer> {
  const strip = stripFor(name);
  if (!strip || strip === "none") throw new Error(`nothing strips ${name}`);
  const out: Buffer[] = [];
  for await (const piece of strip(pieces(bytes, Math.max(1, size)))) out.push(piece);
  return Buffer.concat(out);
}

async function samples(): Promise<[string, Buffer][]> {
  return [
    ["a.png", png({ alpha: true })],
    ["a.jpg", await jpeg()],
    ["a.webp", await webp()],
    ["a.mp4", MP4],
    ["a.webm", WEBM],
    ["a.flac", FLAC],
  ];
}

test("the workflow is taken out of every format, wherever the pieces are cut, and nothing else is", async () => {
  for (const [name, bytes] of await samples()) {
    expect(bytes.includes("secret fox")).toBe(true);
    const clean = await stripped(name, bytes);
    expect([name, clean.includes("secret"), clean.includes("CLIPText")]).toEqual([name, false, false]);
    for (const size of [1, 2, 3, 7, 64]) expect((await stripped(name, bytes, size)).equals(clean)).toBe(true);
    expect((await stripped(name, clean)).equals(clean)).toBe(true);
    if (!/png|jpg/.test(name)) expect(clean.length).toBe(bytes.length); // no offset may change
  }
});

test("a stripped picture shows what it showed", async () => {
  for (const [name, bytes] of (await samples()).slice(0, 3)) {
    const clean = await stripped(name, bytes);
    expect((await new Transformer(clean).rawPixels()).equals(await new Transformer(bytes).rawPixels())).toBe(true);
  }
});

test("whatever the bytes are, stripping ends, throws nothing and invents nothing", async () => {
  const all = await samples();
  const damaged = fc.record({
    sample: fc.nat(all.length - 1),
    cut: fc.double({ min: 0, max: 1, noNaN: true }),
    flips: fc.array(fc.tuple(fc.double({ min: 0, max: 0.999, noNaN: true }), fc.nat(255)), { maxLength: 5 }),
    size: fc.integer({ min: 1, max: 100 }),
  });
  await fc.assert(
    fc.asyncProperty(damaged, async ({ sample, cut, flips, size }) => {
      const [name, bytes] = all[sample] ?? ["", Buffer.alloc(0)];
      const copy = Buffer.from(bytes.subarray(0, Math.ceil(bytes.length * cut)));
      for (const [at, value] of flips) if (copy.length > 0) copy[Math.floor(at * copy.length)] = value;
      expect((await stripped(name, copy, size)).length).toBeLessThanOrEqual(copy.length);
    }),
    { numRuns: 300 },
  );
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), fc.nat(all.length - 1), async (noise, sample) => {
      const bytes = Buffer.concat([Buffer.from("no such file "), noise]);
      expect((await stripped(all[sample]?.[0] ?? "", bytes, 7)).equals(bytes)).toBe(true);
    }),
  );
});

test("formats that nothing strips are told from those that hold no texts", () => {
  expect([stripFor("a.gif"), stripFor("a.ogg"), stripFor("noname"), stripFor("a.txt")]).toEqual([
    undefined,
    undefined,
    undefined,
    "none",
  ]);
});

test.each(["webp", "jpeg"] as const)("a picture becomes a %s of the same size, without its texts", async (format) => {
  const made = await makePicture(png(), { format, quality: 90 }, SIGNAL);
  expect(readPictureHead(made.bytes)).toMatchObject({ width: 9, height: 7 });
  expect([made.width, made.height, made.bytes.includes("secret")]).toEqual([9, 7, false]);
});

test("what is transparent becomes white in a jpeg", async () => {
  const made = await makePicture(png({ alpha: true, width: 16, height: 16 }), { format: "jpeg", quality: 95 }, SIGNAL);
  const pixels = await new Transformer(made.bytes).rawPixels();
  expect(Math.min(...pixels)).toBeGreaterThan(250);
});

test("a thumbnail keeps the picture's form, and no picture is enlarged", async () => {
  const wide = png({ width: 300, height: 100 });
  const small = await makePicture(wide, { format: "webp", mostPixels: 60 }, SIGNAL);
  expect([small.width, small.height]).toEqual([60, 20]);
  expect(readPictureHead(small.bytes)).toMatchObject({ width: 60, height: 20 });
  const same = await makePicture(wide, { format: "webp", mostPixels: 1_000 }, SIGNAL);
  expect(readPictureHead(same.bytes)).toMatchObject({ width: 300, height: 100 });
});

test("a picture of 50,000 x 50,000 pixels is refused by its head alone, and so is what moves or is none", async () => {
  const refuse = (bytes: Buffer) => makePicture(bytes, { format: "webp" }, SIGNAL).catch((error: unknown) => error);
  const animated = png({ extra: [pngChunk("acTL", Buffer.alloc(8))] });
  for (const [bytes, why] of [
    [png({ width: 50_000, height: 50_000 }), "50000 x 50000 pixels"],
    [animated, "animated"],
    [Buffer.from("GIF89a"), "no PNG"],
    [png().subarray(0, 90), "decoded"],
  ] as const) {
    const refusal = await refuse(bytes);
    expect(refusal).toBeInstanceOf(PictureRefusal);
    expect(String(refusal)).toContain(why);
  }
});

const RED_HALF = [200, 10, 20, 128];
const GREEN_CLEAR = [30, 220, 40, 0];

/** Two pixels: one half transparent, one that cannot be seen. */
const ghost = () => Transformer.fromRgbaPixels(new Uint8Array([...RED_HALF, ...GREEN_CLEAR]), 2, 1).png();
const pixelsOf = async (file: Buffer) => [...(await new Transformer(file).rawPixels())];

test("without transparency a picture has the colours that could not be seen, and transparency alone is over black", async () => {
  const source = await ghost();
  const rgb = await viewPicture(source, { channel: "rgb", format: "png" }, SIGNAL);
  expect(await pixelsOf(rgb)).toEqual([200, 10, 20, 255, 30, 220, 40, 255]);
  const a = await viewPicture(source, { channel: "a", format: "png" }, SIGNAL);
  expect(await pixelsOf(a)).toEqual([0, 0, 0, 128, 0, 0, 0, 0]);
  const opaque = await viewPicture(await new Transformer(source).jpeg(90), { channel: "a", format: "png" }, SIGNAL);
  expect(await pixelsOf(opaque)).toEqual([0, 0, 0, 255, 0, 0, 0, 255]);
});

test.each(["webp", "jpeg"] as const)("a %s to look at is smaller with less quality", async (format) => {
  const dots = Uint8Array.from({ length: 64 * 64 * 4 }, (_, at) => (at % 4 === 3 ? 255 : (at * 7919) % 251));
  const source = await Transformer.fromRgbaPixels(dots, 64, 64).png();
  const view = (quality: number) => viewPicture(source, { channel: "rgba", format, quality }, SIGNAL);
  const [good, bad] = [await view(95), await view(5)];
  expect(bad.length).toBeLessThan(good.length);
  expect(readPictureHead(good)).toMatchObject({ width: 64, height: 64 });
});

/** A PNG file of one pixel of any kind that there is. */
function onePixel(colorType: number, depth: 8 | 16, samples: readonly number[]): Buffer {
  const head = Buffer.alloc(13);
  head.writeUInt32BE(1, 0);
  head.writeUInt32BE(1, 4);
  head.set([depth, colorType], 8);
  const row = samples.flatMap((sample) => (depth === 16 ? [sample, 77] : [sample]));
  return Buffer.concat([
    Buffer.from("89504e470d0a1a0a", "hex"),
    pngChunk("IHDR", head),
    ...(colorType === 3 ? [pngChunk("PLTE", Buffer.from([9, 8, 7, 200, 100, 50]))] : []),
    pngChunk("IDAT", deflateSync(Buffer.from([0, ...row]))),
    pngChunk("IEND", Buffer.alloc(0)),
  ]);
}

test.each([
  ["grey", onePixel(0, 8, [90]), [90, 90, 90, 255]],
  ["grey of 16 bits", onePixel(0, 16, [90]), [90, 90, 90, 255]],
  ["grey and transparent", onePixel(4, 8, [90, 40]), [90, 90, 90, 40]],
  ["grey and transparent of 16 bits", onePixel(4, 16, [90, 40]), [90, 90, 90, 40]],
  ["coloured", onePixel(2, 8, [1, 2, 3]), [1, 2, 3, 255]],
  ["coloured of 16 bits", onePixel(2, 16, [1, 2, 3]), [1, 2, 3, 255]],
  ["coloured and transparent of 16 bits", onePixel(6, 16, [1, 2, 3, 4]), [1, 2, 3, 4]],
  ["of a palette", onePixel(3, 8, [1]), [200, 100, 50, 255]],
] as const)("a picture that is %s lends its transparency, and takes another's", async (_kind, file, [r, g, b, a]) => {
  const mask = onePixel(6, 8, [0, 0, 0, 60]);
  expect(await pixelsOf(await putAlpha(file, mask, SIGNAL))).toEqual([r, g, b, 60]);
  expect((await pixelsOf(await putAlpha(mask, file, SIGNAL)))[3]).toBe(a);
});

test("a picture with another's transparency keeps its texts; one of another size is refused", async () => {
  const made = await putAlpha(png({ width: 2, height: 1 }), await ghost(), SIGNAL);
  expect(await pixelsOf(made)).toEqual([200, 200, 200, 128, 200, 200, 200, 0]);
  expect(made.toString("latin1").split(SECRET)).toHaveLength(3); // tEXt and iTXt, not what stood behind the end
  await expect(putAlpha(png(), await ghost(), SIGNAL)).rejects.toThrow("2 x 1 pixels, and the original 9 x 7");
  await expect(putAlpha(png({ width: 50_000, height: 50_000 }), png(), SIGNAL)).rejects.toThrow(PictureRefusal);
});
