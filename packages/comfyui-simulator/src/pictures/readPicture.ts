import { createHash } from "node:crypto";
import { decodePng } from "./decodePng.ts";
import { PNG_SIGNATURE } from "./encodePng.ts";
import { type Picture, pictureOf } from "./Picture.ts";
import { paintScene } from "./paint.ts";

/**
 * A picture from a file. PNG is decoded; for JPEG, WebP and GIF (and PNG of more than `mostPixels`) the
 * size is read from the header and a stand-in is drawn that names the file and takes its colours from the content.
 * @returns undefined when the file is none of these
 */
export function readPicture(file: Buffer, name: string, mostPixels = 16_000_000): Picture | undefined {
  const size = sizeOf(file);
  if (!size) return undefined;
  const decoded = size.kind === "png" && size.width * size.height <= mostPixels ? tryDecode(file) : undefined;
  if (decoded) return pictureOf(size.width, size.height, () => decoded);
  const seed = createHash("sha256").update(file).digest().readUInt32BE(0);
  return paintScene({ ...size, text: name, seed, caption: `${size.kind} ${size.width}x${size.height}` });
}

function tryDecode(file: Buffer): ReturnType<Picture["raster"]> | undefined {
  try {
    return decodePng(file).raster;
  } catch {
    return undefined; // interlaced or 16 bits: drawn as a stand-in
  }
}

interface Size {
  readonly kind: "png" | "jpeg" | "webp" | "gif";
  readonly width: number;
  readonly height: number;
}

function sizeOf(file: Buffer): Size | undefined {
  if (file.length < 26) return undefined;
  if (file.subarray(0, 8).equals(PNG_SIGNATURE)) {
    return { kind: "png", width: file.readUInt32BE(16), height: file.readUInt32BE(20) };
  }
  if (file.toString("latin1", 0, 3) === "GIF") {
    return { kind: "gif", width: file.readUInt16LE(6), height: file.readUInt16LE(8) };
  }
  if (file.toString("latin1", 0, 4) === "RIFF" && file.toString("latin1", 8, 12) === "WEBP") return webpSize(file);
  return file[0] === 0xff && file[1] === 0xd8 ? jpegSize(file) : undefined;
}

function webpSize(file: Buffer): Size | undefined {
  const kind = file.toString("latin1", 12, 16);
  if (kind === "VP8X" && file.length >= 30) {
    return { kind: "webp", width: file.readUIntLE(24, 3) + 1, height: file.readUIntLE(27, 3) + 1 };
  }
  if (kind === "VP8L") {
    const packed = file.readUInt32LE(21);
    return { kind: "webp", width: (packed & 0x3fff) + 1, height: ((packed >>> 14) & 0x3fff) + 1 };
  }
  if (kind !== "VP8 " || file.length < 30) return undefined;
  return { kind: "webp", width: file.readUInt16LE(26) & 0x3fff, height: file.readUInt16LE(28) & 0x3fff };
}

/** The size stands in the start-of-frame segment: any of 0xC0–0xCF but 0xC4, 0xC8 and 0xCC. */
function jpegSize(file: Buffer): Size | undefined {
  for (let at = 2; at + 9 < file.length; at += 2 + file.readUInt16BE(at + 2)) {
    const marker = file[at + 1] ?? 0;
    if (file[at] !== 0xff) return undefined;
    if (marker < 0xc0 || marker > 0xcf || marker === 0xc4 || marker === 0xc8 || marker === 0xcc) continue;
    return { kind: "jpeg", height: file.readUInt16BE(at + 5), width: file.readUInt16BE(at + 7) };
  }
  return undefined;
}
