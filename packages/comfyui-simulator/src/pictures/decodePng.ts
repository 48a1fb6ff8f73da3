import { inflateSync } from "node:zlib";
import { SimulatorError } from "../SimulatorError.ts";
import { PNG_SIGNATURE } from "./encodePng.ts";
import type { Raster } from "./raster.ts";

/** A PNG file's dots and its `tEXt` chunks. */
export interface DecodedPng {
  readonly raster: Raster;
  readonly text: ReadonlyMap<string, string>;
}

interface Header {
  readonly width: number;
  readonly height: number;
  readonly colourType: number;
  readonly interlace: number;
  readonly depth: number;
}

/** Bytes per pixel for each colour type: grey, colour, palette, grey and alpha, colour and alpha. */
const SAMPLES: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

/**
 * Reads a PNG file of 8 bits per sample, not interlaced.
 * @throws SimulatorError `bad_picture` for anything else
 */
export function decodePng(file: Buffer): DecodedPng {
  if (!file.subarray(0, 8).equals(PNG_SIGNATURE)) throw unreadable("it has no PNG signature");
  const chunks = [...chunksOf(file)];
  const header = readHeader(chunks);
  const text = new Map<string, string>();
  for (const { type, content } of chunks) {
    if (type !== "tEXt") continue;
    const end = content.indexOf(0);
    text.set(content.toString("latin1", 0, end), content.toString("latin1", end + 1));
  }
  const packed = Buffer.concat(chunks.filter(({ type }) => type === "IDAT").map(({ content }) => content));
  const samples = unfilter(inflateSync(packed), header);
  const palette = chunks.find(({ type }) => type === "PLTE")?.content ?? Buffer.alloc(0);
  return { raster: toRaster(samples, header, palette), text };
}

function* chunksOf(file: Buffer): Generator<{ type: string; content: Buffer }> {
  for (let at = 8; at + 12 <= file.length; ) {
    const length = file.readUInt32BE(at);
    yield { type: file.toString("latin1", at + 4, at + 8), content: file.subarray(at + 8, at + 8 + length) };
    at += 12 + length;
  }
}

function readHeader(chunks: readonly { type: string; content: Buffer }[]): Header {
  const content = chunks.find(({ type }) => type === "IHDR")?.content;
  if (!content || content.length < 13) throw unreadable("it has no header");
  const header = {
    width: content.readUInt32BE(0),
    height: content.readUInt32BE(4),
    depth: content.readUInt8(8),
    colourType: content.readUInt8(9),
    interlace: content.readUInt8(12),
  };
  if (header.depth !== 8 || header.interlace !== 0 || SAMPLES[header.colourType] === undefined) {
    throw unreadable(`depth ${header.depth}, interlace ${header.interlace}, colour type ${header.colourType}`);
  }
  return header;
}

/** Undoes the five scanline filters (PNG specification, section 9). */
function unfilter(lines: Buffer, header: Header): Uint8Array {
  const step = SAMPLES[header.colourType] ?? 1;
  const stride = header.width * step;
  const samples = new Uint8Array(stride * header.height);
  for (let y = 0; y < header.height; y++) {
    const filter = lines[y * (stride + 1)] ?? 0;
    for (let x = 0; x < stride; x++) {
      const at = y * stride + x;
      const left = x >= step ? (samples[at - step] ?? 0) : 0;
      const up = y > 0 ? (samples[at - stride] ?? 0) : 0;
      const corner = x >= step && y > 0 ? (samples[at - stride - step] ?? 0) : 0;
      samples[at] = (lines[y * (stride + 1) + 1 + x] ?? 0) + predicted(filter, [left, up, corner]);
    }
  }
  return samples;
}

function predicted(filter: number, [left, up, corner]: readonly [number, number, number]): number {
  if (filter === 1) return left;
  if (filter === 2) return up;
  if (filter === 3) return (left + up) >> 1;
  if (filter !== 4) return 0;
  const guess = left + up - corner;
  const [toLeft, toUp, toCorner] = [Math.abs(guess - left), Math.abs(guess - up), Math.abs(guess - corner)];
  if (toLeft <= toUp && toLeft <= toCorner) return left;
  return toUp <= toCorner ? up : corner;
}

function toRaster(samples: Uint8Array, header: Header, palette: Buffer): Raster {
  const { width, height, colourType } = header;
  const channels = colourType === 4 || colourType === 6 ? 4 : 3;
  if (colourType === 2 || colourType === 6) return { width, height, channels, dots: samples };
  const dots = new Uint8Array(width * height * channels);
  const step = SAMPLES[colourType] ?? 1;
  for (let dot = 0; dot < width * height; dot++) {
    const value = samples[dot * step] ?? 0;
    const colour = colourType === 3 ? palette.subarray(value * 3, value * 3 + 3) : [value, value, value];
    dots.set(colour, dot * channels);
    if (channels === 4) dots[dot * channels + 3] = samples[dot * step + 1] ?? 255;
  }
  return { width, height, channels, dots };
}

const unreadable = (why: string): SimulatorError =>
  new SimulatorError("bad_picture", `The PNG file cannot be read (${why}); write it with 8 bits per sample.`);
