import { promisify } from "node:util";
import { crc32, deflate } from "node:zlib";
import type { Picture } from "./Picture.ts";
import { dotAt, type Raster } from "./raster.ts";

const compress = promisify(deflate);

export const PNG_SIGNATURE = Buffer.from("89504e470d0a1a0a", "hex");

/** What a PNG file may carry besides its dots. */
export interface PngOptions {
  /** `tEXt` chunks, as ComfyUI's SaveImage writes `prompt` and `workflow` (nodes.py). */
  readonly text?: ReadonlyMap<string, string>;
}

/** A picture as PNG file: palette when it has at most 256 colours, else 8-bit true colour. */
export async function encodePng(picture: Picture, options: PngOptions = {}): Promise<Buffer> {
  const layout = layoutOf(picture.raster());
  const chunks = [headerChunk(picture, layout), ...paletteChunks(layout), ...textChunks(options.text)];
  chunks.push(chunk("IDAT", await compress(scanlines(picture, layout), { level: 1 })));
  const end = chunk("IEND", Buffer.alloc(0));
  return Buffer.concat([PNG_SIGNATURE, ...chunks, end]);
}

/** Several pictures of one size as animated PNG; `frameMs` is how long each is shown. */
export async function encodeAnimatedPng(pictures: readonly [Picture, ...Picture[]], frameMs: number): Promise<Buffer> {
  // One layout for all frames: true colour, because a palette would have to hold every frame's colours.
  const layout: Layout = { kind: "colour", channels: 3 };
  const control = Buffer.alloc(8);
  control.writeUInt32BE(pictures.length, 0);
  const chunks = [headerChunk(pictures[0], layout), chunk("acTL", control)];
  let sequence = 0;
  for (const [index, picture] of pictures.entries()) {
    chunks.push(chunk("fcTL", frameControl(picture, sequence++, frameMs)));
    const dots = await compress(scanlines(picture, layout), { level: 1 });
    chunks.push(index === 0 ? chunk("IDAT", dots) : chunk("fdAT", Buffer.concat([uint32(sequence++), dots])));
  }
  return Buffer.concat([PNG_SIGNATURE, ...chunks, chunk("IEND", Buffer.alloc(0))]);
}

/** One PNG chunk: length, type, content, CRC. */
export function chunk(type: string, content: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, "latin1"), content]);
  return Buffer.concat([uint32(content.length), body, uint32(crc32(body))]);
}

type Layout =
  | { readonly kind: "palette"; readonly channels: 1; readonly places: ReadonlyMap<number, number> }
  | { readonly kind: "colour"; readonly channels: 3 | 4 };

function layoutOf(raster: Raster): Layout {
  if (raster.channels === 4) return { kind: "colour", channels: 4 };
  const places = new Map<number, number>();
  let last = -1; // neighbours are mostly alike
  for (let y = 0; y < raster.height; y++) {
    for (let x = 0; x < raster.width; x++) {
      const dot = dotAt(raster, x, y);
      if (dot === last) continue;
      last = dot;
      if (places.has(dot)) continue;
      if (places.size === 256) return { kind: "colour", channels: 3 };
      places.set(dot, places.size);
    }
  }
  return { kind: "palette", channels: 1, places };
}

function headerChunk(picture: Picture, layout: Layout): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(picture.width, 0);
  header.writeUInt32BE(picture.height, 4);
  header[8] = 8;
  header[9] = layout.kind === "palette" ? 3 : layout.channels === 4 ? 6 : 2;
  return chunk("IHDR", header);
}

function paletteChunks(layout: Layout): Buffer[] {
  if (layout.kind !== "palette") return [];
  return [chunk("PLTE", Buffer.from([...layout.places.keys()].flatMap((dot) => [dot >>> 16, dot >>> 8, dot])))];
}

function textChunks(text: ReadonlyMap<string, string> = new Map()): Buffer[] {
  // tEXt is Latin-1; ComfyUI's JSON is written in ASCII with \u escapes (Python's json.dumps).
  return [...text].map(([key, value]) => chunk("tEXt", Buffer.from(`${key}\0${asciiJson(value)}`, "latin1")));
}

function asciiJson(json: string): string {
  return json.replace(/[\u0080-\uffff]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

function frameControl(picture: Picture, sequence: number, frameMs: number): Buffer {
  const control = Buffer.alloc(26);
  control.writeUInt32BE(sequence, 0);
  control.writeUInt32BE(picture.width, 4);
  control.writeUInt32BE(picture.height, 8);
  control.writeUInt16BE(Math.min(0xffff, Math.round(frameMs)), 20);
  control.writeUInt16BE(1000, 22);
  return control;
}

/** The filtered scanlines at full size. A row that repeats the one above is a row of zeros under filter 2 ("Up"). */
function scanlines(picture: Picture, layout: Layout): Buffer {
  const raster = picture.raster();
  const stride = picture.width * layout.channels + 1;
  const lines = Buffer.alloc(stride * picture.height);
  let drawnRow = -1;
  for (let y = 0; y < picture.height; y++) {
    const row = Math.floor((y * raster.height) / picture.height);
    if (row === drawnRow) lines[y * stride] = 2;
    else writeRow(lines.subarray(y * stride + 1, (y + 1) * stride), { raster, row, picture, layout });
    drawnRow = row;
  }
  return lines;
}

interface RowSource {
  readonly raster: Raster;
  readonly row: number;
  readonly picture: Picture;
  readonly layout: Layout;
}

function writeRow(line: Buffer, { raster, row, picture, layout }: RowSource): void {
  let last = -1;
  let place = 0;
  for (let x = 0; x < picture.width; x++) {
    const dot = dotAt(raster, Math.floor((x * raster.width) / picture.width), row);
    if (layout.kind === "palette") {
      if (dot !== last) place = layout.places.get(dot) ?? 0;
      last = dot;
      line[x] = place;
      continue;
    }
    const at = x * layout.channels;
    line[at] = dot >>> 16;
    line[at + 1] = dot >>> 8;
    line[at + 2] = dot;
    if (layout.channels === 4) line[at + 3] = dot >>> 24;
  }
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}
