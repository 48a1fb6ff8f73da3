import type { ByteFeed } from "./byteFeed.ts";

/** A box of this kind is small: it holds tables, not the film. */
const LARGEST_MOOV_BYTES = 64 * 1024 * 1024;
/** XMP's own box. Source: XMP specification part 3, §1.1.4. */
const XMP_BOX = Buffer.from("be7acfcb97a942e89c71999491e3afac", "hex");
const BOXES_OF_BOXES = ["moov", "trak"];
const TEXT_BOXES = ["udta", "meta"];

/**
 * Makes the boxes of user data, tags and XMP free space: no offset in the file changes. For MP4, MOV and M4A; what is
 * none passes unchanged. Source: ISO/IEC 14496-12, §4.2, §8.10, §8.11.
 */
export async function* stripMp4(feed: ByteFeed): AsyncGenerator<Buffer> {
  for (;;) {
    const head = await feed.peek(32);
    const box = readBox(head);
    if (!box) return yield* feed.rest();
    if (box.type === "moov" && box.sizeBytes <= LARGEST_MOOV_BYTES) {
      const moov = Buffer.from(await feed.take(box.sizeBytes));
      freeTexts(moov.subarray(box.headBytes));
      yield moov;
    } else if (box.type === "udta" || (box.type === "uuid" && head.subarray(8, 24).equals(XMP_BOX))) {
      yield freed(await feed.take(box.headBytes));
      yield* feed.blank(box.sizeBytes - box.headBytes);
    } else yield* feed.pass(box.sizeBytes);
  }
}

interface Box {
  readonly type: string;
  /** Infinite when it goes to the file's end. */
  readonly sizeBytes: number;
  readonly headBytes: number;
}

function readBox(head: Buffer): Box | undefined {
  if (head.length < 8) return undefined;
  const [short, type] = [head.readUInt32BE(0), head.toString("latin1", 4, 8)];
  if (!/^[\x20-\x7e\xa9]{4}$/.test(type)) return undefined;
  if (short === 0) return { type, sizeBytes: Number.POSITIVE_INFINITY, headBytes: 8 };
  if (short === 1 && head.length < 16) return undefined;
  const [sizeBytes, headBytes] = short === 1 ? [Number(head.readBigUInt64BE(8)), 16] : [short, 8];
  return sizeBytes < headBytes ? undefined : { type, sizeBytes, headBytes };
}

/** In place, in every box of boxes. */
function freeTexts(boxes: Buffer): void {
  for (let at = 0; at < boxes.length; ) {
    const box = readBox(boxes.subarray(at));
    if (!box || box.sizeBytes > boxes.length - at) return;
    const content = boxes.subarray(at + box.headBytes, at + box.sizeBytes);
    if (BOXES_OF_BOXES.includes(box.type)) freeTexts(content);
    if (TEXT_BOXES.includes(box.type)) {
      boxes.write("free", at + 4, "latin1");
      content.fill(0);
    }
    at += box.sizeBytes;
  }
}

function freed(head: Buffer): Buffer {
  const copy = Buffer.from(head);
  copy.write("free", 4, "latin1");
  return copy;
}

const [EBML, SEGMENT, TAGS] = [0x1a45dfa3, 0x18538067, 0x1254c367];
/** Of a Void element: its id, and a length of eight bytes. */
const VOID_HEAD_BYTES = 9;

/**
 * Makes the tags void: no position in the file changes. For WebM and Matroska; what is none passes unchanged, and so does
 * all that follows an element whose length is not told. Source: RFC 8794 (EBML), RFC 9559 (Matroska).
 */
export async function* stripMatroska(feed: ByteFeed): AsyncGenerator<Buffer> {
  for (let isFirst = true; ; isFirst = false) {
    const element = readElement(await feed.peek(12));
    if (!element || (isFirst && element.id !== EBML)) return yield* feed.rest();
    if (element.id === SEGMENT) {
      yield await feed.take(element.headBytes); // its children follow
      continue;
    }
    const sizeBytes = element.headBytes + element.contentBytes;
    if (!Number.isFinite(sizeBytes)) return yield* feed.rest();
    if (element.id !== TAGS || sizeBytes < VOID_HEAD_BYTES) {
      yield* feed.pass(sizeBytes);
      continue;
    }
    const head = Buffer.alloc(VOID_HEAD_BYTES);
    head.writeUInt8(0xec, 0);
    head.writeBigUInt64BE((1n << 56n) | BigInt(sizeBytes - VOID_HEAD_BYTES), 1);
    await feed.skip(VOID_HEAD_BYTES);
    yield head;
    yield* feed.blank(sizeBytes - VOID_HEAD_BYTES);
  }
}

interface Element {
  readonly id: number;
  readonly headBytes: number;
  /** Infinite when it is not told. */
  readonly contentBytes: number;
}

function readElement(head: Buffer): Element | undefined {
  const idBytes = Math.clz32(head[0] ?? 0) - 23;
  if (idBytes > 4 || head.length <= idBytes) return undefined;
  const lengthBytes = Math.clz32(head[idBytes] ?? 0) - 23;
  if (lengthBytes > 8 || head.length < idBytes + lengthBytes) return undefined;
  const [first = 0, ...others] = head.subarray(idBytes, idBytes + lengthBytes);
  const value = others.reduce((sum, byte) => sum * 256 + byte, first & (0xff >>> lengthBytes));
  const isUnknown = value === 2 ** (7 * lengthBytes) - 1;
  return {
    id: head.readUIntBE(0, idBytes),
    headBytes: idBytes + lengthBytes,
    contentBytes: isUnknown ? Number.POSITIVE_INFINITY : value,
  };
}

/** Blocks of a FLAC file's beginning. Source: RFC 9639, §8. */
const [PADDING, VORBIS_COMMENT] = [1, 4];
const LAST_BLOCK = 0x80;

/** Makes the comments padding: the file keeps its length. What is no FLAC passes unchanged. */
export async function* stripFlac(feed: ByteFeed): AsyncGenerator<Buffer> {
  if ((await feed.peek(4)).toString("latin1") !== "fLaC") return yield* feed.rest();
  yield await feed.take(4);
  for (let isLast = false; !isLast; ) {
    const head = Buffer.from(await feed.take(4));
    if (head.length < 4) return yield head;
    const first = head.readUInt8(0);
    isLast = (first & LAST_BLOCK) !== 0;
    const isComment = (first & ~LAST_BLOCK) === VORBIS_COMMENT;
    if (isComment) head.writeUInt8((first & LAST_BLOCK) | PADDING, 0);
    yield head;
    const sizeBytes = head.readUIntBE(1, 3);
    yield* isComment ? feed.blank(sizeBytes) : feed.pass(sizeBytes);
  }
  yield* feed.rest();
}
