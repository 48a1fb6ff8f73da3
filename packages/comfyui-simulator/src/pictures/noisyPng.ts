import { crc32, deflateSync } from "node:zlib";
import { chunk, PNG_SIGNATURE } from "./encodePng.ts";
import { seededNoise } from "./seededNoise.ts";

const PIECE = 64 * 1024;

/**
 * A valid PNG file of exactly `sizeBytes`, piece by piece: one small picture, and a private chunk of noise for the rest.
 * Always the same for the same seed. At least 4096 bytes.
 */
export function* noisyPng(sizeBytes: number, seed: number): Generator<Uint8Array> {
  const random = seededNoise(seed);
  const colour = Buffer.from([0, random() * 256, random() * 256, random() * 256]); // filter 0, one dot
  const header = Buffer.from("0000000100000001080200000000", "hex").subarray(0, 13);
  const head = Buffer.concat([PNG_SIGNATURE, chunk("IHDR", header)]);
  const tail = Buffer.concat([chunk("IDAT", deflateSync(colour)), chunk("IEND", Buffer.alloc(0))]);
  const length = sizeBytes - head.length - tail.length - 12;
  yield head;
  yield* noiseChunk(length, random);
  yield tail;
}

/** One chunk `nsEq`: ancillary, private, safe to copy. The same 64 KiB of noise again and again. */
function* noiseChunk(length: number, random: () => number): Generator<Uint8Array> {
  const head = Buffer.alloc(8, "\0\0\0\0nsEq", "latin1");
  head.writeUInt32BE(length);
  yield head;
  const noise = Buffer.from(Uint32Array.from({ length: PIECE / 4 }, () => random() * 2 ** 32).buffer);
  let check = crc32(head.subarray(4));
  for (let left = length; left > 0; left -= PIECE) {
    const piece = noise.subarray(0, Math.min(left, PIECE));
    check = crc32(piece, check);
    yield piece;
  }
  const end = Buffer.alloc(4);
  end.writeUInt32BE(check);
  yield end;
}
