/** The example tables of ITU T.81, annex K, which nearly every JPEG file uses. Two hex digits for each number. */
const numbers = (hex: string): readonly number[] => [...Buffer.from(hex, "hex")];

/** A Huffman table: how many codes there are of each length from 1 to 16, and the symbols in code order. */
export interface Huffman {
  readonly counts: readonly number[];
  readonly symbols: readonly number[];
}

export const ZIGZAG: readonly number[] = numbers(
  "000108100902030a11182019120b04050c131a21283029221b140d06070e151c232a313839322b241d160f171e252c333a3b" +
    "342d261f272e353c3d362f373e3f",
);

export const LUMA_QUANTA: readonly number[] = numbers(
  "100b0a101828333d0c0c0e131a3a3c370e0d1018283945380e11161d3357503e12162538446d674d182337405168715c3140" +
    "4e5767797865485c5f6270646763",
);

export const CHROMA_QUANTA: readonly number[] = numbers(
  "1112182f6363636312151a4263636363181a3863636363632f42636363636363636363636363636363636363636363636363" +
    "6363636363636363636363636363",
);

export const LUMA_DC: Huffman = {
  counts: numbers("00010501010101010100000000000000"),
  symbols: numbers("000102030405060708090a0b"),
};

export const LUMA_AC: Huffman = {
  counts: numbers("0002010303020403050504040000017d"),
  symbols: numbers(
    "01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a25262728292a" +
      "3435363738393a434445464748494a535455565758595a636465666768696a737475767778797a838485868788898a929394" +
      "95969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8" +
      "e9eaf1f2f3f4f5f6f7f8f9fa",
  ),
};

export const CHROMA_DC: Huffman = {
  counts: numbers("00030101010101010101010000000000"),
  symbols: numbers("000102030405060708090a0b"),
};

export const CHROMA_AC: Huffman = {
  counts: numbers("00020102040403040705040400010277"),
  symbols: numbers(
    "000102031104052131061241510761711322328108144291a1b1c109233352f0156272d10a162434e125f11718191a262728" +
      "292a35363738393a434445464748494a535455565758595a636465666768696a737475767778797a82838485868788898a92" +
      "939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7" +
      "e8e9eaf2f3f4f5f6f7f8f9fa",
  ),
};
