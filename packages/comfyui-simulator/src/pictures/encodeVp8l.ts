import type { Picture } from "./Picture.ts";
import { dotAt } from "./raster.ts";
import { BitWriter, type FlatCode, flatCode, writeCodeLengths } from "./vp8lCodes.ts";

/**
 * A picture as VP8L bit stream (RFC 9649, section 3): no transforms, no colour cache, one group of codes, and the only
 * copies are "as to the left" and "as above", which is what a picture that was scaled up consists of.
 */
export function encodeVp8l(picture: Picture): Buffer {
  const tokens = tokensOf(picture);
  const codes = codesFor(tokens);
  const bits = new BitWriter();
  bits.write(0x2f, 8);
  bits.write(picture.width - 1, 14);
  bits.write(picture.height - 1, 14);
  bits.write(picture.raster().channels === 4 ? 1 : 0, 1);
  bits.write(0, 3 + 1 + 1 + 1); // version, no transform, no colour cache, one group of codes
  for (const [at, code] of codes.entries()) writeCodeLengths(bits, code, ALPHABETS[at] ?? 256);
  for (const token of tokens) writeToken(bits, token, codes);
  return bits.finish();
}

/** Sizes of the five alphabets: green with the lengths, red, blue, alpha, distance. */
const ALPHABETS = [280, 256, 256, 256, 40] as const;

const LONGEST_COPY = 4096;

/** Distance codes: 1 is the dot above, 2 the dot to the left. */
type Token =
  | { readonly kind: "dot"; readonly colour: number }
  | { readonly kind: "copy"; readonly length: number; readonly distance: 1 | 2 };

function tokensOf(picture: Picture): Token[] {
  const raster = picture.raster();
  const tokens: Token[] = [];
  let drawnRow = -1;
  let above = 0;
  for (let y = 0; y < picture.height; y++) {
    const row = Math.floor((y * raster.height) / picture.height);
    if (row === drawnRow) {
      above += picture.width;
      continue;
    }
    pushCopies(tokens, above, 1);
    above = 0;
    drawnRow = row;
    pushRow(tokens, { width: picture.width, colourAt: (x) => dotAt(raster, x, row), dots: raster.width });
  }
  pushCopies(tokens, above, 1);
  return tokens;
}

interface Row {
  readonly width: number;
  readonly dots: number;
  readonly colourAt: (dot: number) => number;
}

function pushRow(tokens: Token[], row: Row): void {
  for (let x = 0; x < row.width; ) {
    const colour = row.colourAt(Math.floor((x * row.dots) / row.width));
    let end = x + 1;
    while (end < row.width && row.colourAt(Math.floor((end * row.dots) / row.width)) === colour) end++;
    tokens.push({ kind: "dot", colour });
    pushCopies(tokens, end - x - 1, 2);
    x = end;
  }
}

function pushCopies(tokens: Token[], count: number, distance: 1 | 2): void {
  for (let left = count; left > 0; left -= LONGEST_COPY) {
    tokens.push({ kind: "copy", length: Math.min(left, LONGEST_COPY), distance });
  }
}

function codesFor(tokens: readonly Token[]): FlatCode[] {
  const used = ALPHABETS.map(() => new Set<number>());
  const use = (alphabet: number, symbol: number): unknown => used[alphabet]?.add(symbol);
  for (const token of tokens) {
    if (token.kind === "dot") {
      channelsOf(token.colour).forEach((value, alphabet) => {
        use(alphabet, value);
      });
    } else {
      use(0, 256 + prefixOf(token.length).code);
      use(4, prefixOf(token.distance).code);
    }
  }
  return used.map((symbols) => flatCode(symbols.size === 0 ? new Set([0]) : symbols));
}

function writeToken(bits: BitWriter, token: Token, codes: readonly FlatCode[]): void {
  if (token.kind === "dot") {
    channelsOf(token.colour).forEach((value, alphabet) => {
      bits.writeCode(codes[alphabet]?.get(value));
    });
    return;
  }
  const length = prefixOf(token.length);
  bits.writeCode(codes[0]?.get(256 + length.code));
  bits.write(length.extra, length.extraBits);
  bits.writeCode(codes[4]?.get(prefixOf(token.distance).code)); // codes 1 and 2 have no extra bits
}

/** In the order in which VP8L writes them: green, red, blue, alpha. */
const channelsOf = (colour: number): [number, number, number, number] => [
  (colour >>> 8) & 255,
  (colour >>> 16) & 255,
  colour & 255,
  colour >>> 24,
];

/** A length or distance as prefix code and extra bits (RFC 9649, section 5.2.2). */
function prefixOf(value: number): { code: number; extra: number; extraBits: number } {
  const rest = value - 1;
  if (rest < 4) return { code: rest, extra: 0, extraBits: 0 };
  const highest = 31 - Math.clz32(rest);
  const extraBits = highest - 1;
  return { code: 2 * highest + ((rest >> extraBits) & 1), extra: rest & (2 ** extraBits - 1), extraBits };
}
