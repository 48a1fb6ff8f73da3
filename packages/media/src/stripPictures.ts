import type { ByteFeed } from "./byteFeed.ts";

const PNG_SIGNATURE = Buffer.from("89504e470d0a1a0a", "hex");
/** Texts, EXIF and the time: nothing of the picture. Source: PNG specification, third edition, §11.3. */
const PNG_TEXTS = ["tEXt", "zTXt", "iTXt", "eXIf", "tIME"];

/** Leaves out the chunks that carry texts, and whatever stands behind the end. What is no PNG passes unchanged. */
export async function* stripPng(feed: ByteFeed): AsyncGenerator<Buffer> {
  if (!(await feed.peek(8)).equals(PNG_SIGNATURE)) return yield* feed.rest();
  yield await feed.take(8);
  for (;;) {
    const head = await feed.peek(8);
    const type = head.toString("latin1", 4);
    if (!/^[A-Za-z]{4}$/.test(type)) return yield* feed.rest(); // broken, or over
    const sizeBytes = 12 + head.readUInt32BE(0);
    if (PNG_TEXTS.includes(type)) await feed.skip(sizeBytes);
    else yield* feed.pass(sizeBytes);
    if (type === "IEND") return feed.skip(Number.POSITIVE_INFINITY);
  }
}

const [SOI, SOS, EOI] = [0xd8, 0xda, 0xd9];
/** JFIF's header, the colour profile and Adobe's colour transform say what the picture looks like. */
const JPEG_KEPT = [0xe0, 0xe2, 0xee];
const COMMENT = 0xfe;

/** Leaves out comments and the application segments (EXIF, XMP, IPTC) before the picture's own data. */
export async function* stripJpeg(feed: ByteFeed): AsyncGenerator<Buffer> {
  const start = await feed.peek(2);
  if (start[0] !== 0xff || start[1] !== SOI) return yield* feed.rest();
  yield await feed.take(2);
  for (;;) {
    const head = await feed.peek(4);
    const [sign = 0, marker = 0] = head;
    if (head.length < 4 || sign !== 0xff || marker === SOS || marker === EOI) return yield* feed.rest();
    if (marker === 0xff) {
      yield await feed.take(1); // a fill byte
      continue;
    }
    const sizeBytes = 2 + head.readUInt16BE(2);
    const isText = marker === COMMENT || (marker >= 0xe0 && marker <= 0xef && !JPEG_KEPT.includes(marker));
    if (isText) await feed.skip(sizeBytes);
    else yield* feed.pass(sizeBytes);
  }
}

/** "There is EXIF" and "there is XMP". Source: RFC 9649, §2.7. */
const WEBP_TEXT_FLAGS = 0x08 | 0x04;

/** Makes the chunks of EXIF and XMP empty ones of no meaning; the file keeps its length, which stands at its beginning. */
export async function* stripWebp(feed: ByteFeed): AsyncGenerator<Buffer> {
  const start = await feed.peek(12);
  if (start.toString("latin1", 0, 4) !== "RIFF" || start.toString("latin1", 8) !== "WEBP") return yield* feed.rest();
  yield await feed.take(12);
  for (;;) {
    const head = await feed.take(8);
    if (head.length < 8) return yield head;
    const type = head.toString("latin1", 0, 4);
    const contentBytes = head.readUInt32LE(4);
    const paddedBytes = contentBytes + (contentBytes % 2);
    if (type === "EXIF" || type === "XMP ") {
      yield Buffer.concat([Buffer.from("JUNK"), head.subarray(4)]);
      yield* feed.blank(paddedBytes);
      continue;
    }
    yield head;
    if (type === "VP8X") yield (await feed.take(1)).map((flags) => flags & ~WEBP_TEXT_FLAGS) as Buffer;
    yield* feed.pass(paddedBytes - (type === "VP8X" ? 1 : 0));
  }
}
