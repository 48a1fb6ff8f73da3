/** Code words by symbol; `bits` are in the order in which they are written, lowest first. */
export type FlatCode = ReadonlyMap<number, { readonly bits: number; readonly length: number }>;

/**
 * A complete prefix code in which all words have the same length, or two neighbouring lengths. Not the shortest, but
 * it needs no counting of symbols.
 */
export function flatCode(symbols: ReadonlySet<number>): FlatCode {
  const sorted = [...symbols].sort((one, other) => one - other);
  const longest = Math.ceil(Math.log2(sorted.length)); // 0 for one symbol: it is read with no bits at all
  const short = 2 ** longest - sorted.length; // so many words are one bit shorter: then the code is complete
  const code = new Map<number, { bits: number; length: number }>();
  sorted.forEach((symbol, at) => {
    const length = at < short ? longest - 1 : longest;
    const word = at < short ? at : at + short;
    code.set(symbol, { bits: reversed(word, length), length });
  });
  return code;
}

/** Writes a code's lengths for a reader who knows only the size of the alphabet (RFC 9649, section 6.2). */
export function writeCodeLengths(bits: BitWriter, code: FlatCode, alphabet: number): void {
  const symbols = [...code.keys()];
  const [only = 0] = symbols;
  if (symbols.length === 1 && only < 256) {
    bits.write(0b101, 3); // simple code, one symbol, eight bits wide
    bits.write(only, 8);
    return;
  }
  const lengths = Array.from({ length: alphabet }, (_, symbol) => code.get(symbol)?.length ?? 0);
  const lengthCode = flatCode(new Set(lengths));
  bits.write(0, 1);
  bits.write(LENGTH_ORDER.length - 4, 4);
  const lone = lengthCode.size === 1 ? 1 : 0; // the only word is announced with length 1, but takes no bits
  for (const length of LENGTH_ORDER) {
    const word = lengthCode.get(length);
    bits.write(word ? word.length + lone : 0, 3);
  }
  bits.write(0, 1);
  for (const length of lengths) bits.writeCode(lengthCode.get(length));
}

const LENGTH_ORDER = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15] as const;

function reversed(word: number, length: number): number {
  let turned = 0;
  for (let at = 0; at < length; at++) turned = (turned << 1) | ((word >> at) & 1);
  return turned;
}

/** Bits from the lowest up. */
export class BitWriter {
  readonly #bytes: number[] = [];
  #held = 0;
  #count = 0;

  write(value: number, length: number): void {
    for (let at = 0; at < length; at++) {
      this.#held |= ((value >>> at) & 1) << this.#count;
      if (++this.#count < 8) continue;
      this.#bytes.push(this.#held);
      this.#held = 0;
      this.#count = 0;
    }
  }

  writeCode(word: { readonly bits: number; readonly length: number } | undefined): void {
    if (word) this.write(word.bits, word.length);
  }

  finish(): Buffer {
    return Buffer.from(this.#count > 0 ? [...this.#bytes, this.#held] : this.#bytes);
  }
}
