import {
  CHROMA_AC,
  CHROMA_DC,
  CHROMA_QUANTA,
  type Huffman,
  LUMA_AC,
  LUMA_DC,
  LUMA_QUANTA,
  ZIGZAG,
} from "./jpegTables.ts";
import { dotAt, type Raster } from "./raster.ts";

/** A raster as baseline JPEG, three components without subsampling (ITU T.81). `quality` is 1–100. */
export function encodeJpeg(raster: Raster, quality = 75): Buffer {
  const quanta = [scaled(LUMA_QUANTA, quality), scaled(CHROMA_QUANTA, quality)] as const;
  return Buffer.concat([
    Buffer.from("ffd8ffe000104a46494600010100000100010000", "hex"),
    ...quanta.map((table, id) => segment(0xdb, [id, ...ZIGZAG.map((at) => table[at] ?? 1)])),
    segment(0xc0, [8, ...uint16(raster.height), ...uint16(raster.width), 3, 1, 0x11, 0, 2, 0x11, 1, 3, 0x11, 1]),
    ...[LUMA_DC, LUMA_AC, CHROMA_DC, CHROMA_AC].map((table, at) =>
      segment(0xc4, [(at % 2) * 16 + Math.floor(at / 2), ...table.counts, ...table.symbols]),
    ),
    segment(0xda, [3, 1, 0x00, 2, 0x11, 3, 0x11, 0, 63, 0]),
    scan(raster, quanta),
    Buffer.from([0xff, 0xd9]),
  ]);
}

const uint16 = (value: number): [number, number] => [(value >> 8) & 255, value & 255];

const segment = (marker: number, content: readonly number[]): Buffer =>
  Buffer.from([0xff, marker, ...uint16(content.length + 2), ...content]);

/** The quality rule of the Independent JPEG Group. */
function scaled(table: readonly number[], quality: number): number[] {
  const bounded = Math.max(1, Math.min(100, quality));
  const factor = bounded < 50 ? 5000 / bounded : 200 - 2 * bounded;
  return table.map((value) => Math.max(1, Math.min(255, Math.floor((value * factor + 50) / 100))));
}

function scan(raster: Raster, [luma, chroma]: readonly [readonly number[], readonly number[]]): Buffer {
  const bits = new BitWriter();
  const components = [
    { quanta: luma, dc: codesOf(LUMA_DC), ac: codesOf(LUMA_AC), weights: [0.299, 0.587, 0.114, -128], last: 0 },
    { quanta: chroma, dc: codesOf(CHROMA_DC), ac: codesOf(CHROMA_AC), weights: [-0.1687, -0.3313, 0.5, 0], last: 0 },
    { quanta: chroma, dc: codesOf(CHROMA_DC), ac: codesOf(CHROMA_AC), weights: [0.5, -0.4187, -0.0813, 0], last: 0 },
  ];
  for (let top = 0; top < raster.height; top += 8) {
    for (let left = 0; left < raster.width; left += 8) {
      for (const component of components) {
        const levels = quantised(transformed(blockOf(raster, [left, top], component.weights)), component.quanta);
        writeBlock(bits, levels, component);
        component.last = levels[0] ?? 0;
      }
    }
  }
  return bits.finish();
}

/** 8×8 samples of one component; the edge is repeated beyond the raster. */
function blockOf(raster: Raster, corner: readonly [number, number], weights: readonly number[]): Float64Array {
  const block = new Float64Array(64);
  const [red = 0, green = 0, blue = 0, offset = 0] = weights;
  for (let y = 0; y < 8; y++) {
    for (let x = 0; x < 8; x++) {
      const dot = dotAt(raster, Math.min(corner[0] + x, raster.width - 1), Math.min(corner[1] + y, raster.height - 1));
      block[y * 8 + x] = red * ((dot >>> 16) & 255) + green * ((dot >>> 8) & 255) + blue * (dot & 255) + offset;
    }
  }
  return block;
}

const COSINES = Float64Array.from({ length: 64 }, (_, at) => {
  const [frequency, place] = [Math.floor(at / 8), at % 8];
  return (frequency === 0 ? Math.SQRT1_2 : 1) * 0.5 * Math.cos(((2 * place + 1) * frequency * Math.PI) / 16);
});

/** The two-dimensional cosine transform, first along the rows, then along the columns. */
function transformed(block: Float64Array): Float64Array {
  return columnsTransformed(columnsTransformed(block));
}

/** Transforms every row and lays the result down as columns, so that doing it twice gives both directions. */
function columnsTransformed(block: Float64Array): Float64Array {
  const turned = new Float64Array(64);
  for (let row = 0; row < 8; row++) {
    for (let frequency = 0; frequency < 8; frequency++) {
      let sum = 0;
      for (let place = 0; place < 8; place++) {
        sum += (block[row * 8 + place] ?? 0) * (COSINES[frequency * 8 + place] ?? 0);
      }
      turned[frequency * 8 + row] = sum;
    }
  }
  return turned;
}

const quantised = (block: Float64Array, quanta: readonly number[]): number[] =>
  ZIGZAG.map((at) => Math.round((block[at] ?? 0) / (quanta[at] ?? 1)));

interface BlockCodes {
  readonly dc: readonly Code[];
  readonly ac: readonly Code[];
  readonly last: number;
}

function writeBlock(bits: BitWriter, levels: readonly number[], codes: BlockCodes): void {
  const step = (levels[0] ?? 0) - codes.last;
  bits.writeCode(codes.dc[sizeOf(step)]);
  bits.writeLevel(step);
  let zeros = 0;
  for (let at = 1; at < 64; at++) {
    const level = levels[at] ?? 0;
    if (level === 0) {
      zeros++;
      continue;
    }
    for (; zeros > 15; zeros -= 16) bits.writeCode(codes.ac[0xf0]);
    bits.writeCode(codes.ac[zeros * 16 + sizeOf(level)]);
    bits.writeLevel(level);
    zeros = 0;
  }
  if (zeros > 0) bits.writeCode(codes.ac[0]);
}

/** How many bits a level needs. */
const sizeOf = (level: number): number => 32 - Math.clz32(Math.abs(level));

interface Code {
  readonly bits: number;
  readonly length: number;
}

/** The canonical codes of a table, by symbol. */
function codesOf(table: Huffman): Code[] {
  const codes: Code[] = [];
  let next = 0;
  let at = 0;
  table.counts.forEach((count, index) => {
    for (let left = count; left > 0; left--) codes[table.symbols[at++] ?? 0] = { bits: next++, length: index + 1 };
    next <<= 1;
  });
  return codes;
}

/** Bits from the highest down; a byte of 0xff is followed by a zero. */
class BitWriter {
  readonly #bytes: number[] = [];
  #held = 0;
  #count = 0;

  writeCode(code: Code = { bits: 0, length: 0 }): void {
    this.#write(code.bits, code.length);
  }

  writeLevel(level: number): void {
    const size = sizeOf(level);
    this.#write(level < 0 ? level + 2 ** size - 1 : level, size);
  }

  finish(): Buffer {
    if (this.#count > 0) this.#write(0x7f, 8 - this.#count);
    return Buffer.from(this.#bytes);
  }

  #write(bits: number, length: number): void {
    for (let at = length - 1; at >= 0; at--) {
      this.#held = (this.#held << 1) | ((bits >> at) & 1);
      if (++this.#count < 8) continue;
      this.#bytes.push(this.#held);
      if (this.#held === 0xff) this.#bytes.push(0);
      this.#held = 0;
      this.#count = 0;
    }
  }
}
