/** What a simulated sound is: how long, and at how many samples per second. */
export interface Sound {
  readonly seconds: number;
  readonly sampleRate: number;
}

const BLOCK = 4096;

/** Silence as FLAC file, two channels of 16 bits (RFC 9639). Every block is one constant, so it is tiny. */
export function encodeFlac(sound: Sound): Buffer {
  const samples = Math.max(1, Math.round(sound.seconds * sound.sampleRate));
  const frames: Buffer[] = [];
  for (let at = 0; at < samples; at += BLOCK) frames.push(frame(at / BLOCK, Math.min(BLOCK, samples - at)));
  return Buffer.concat([Buffer.from("fLaC"), streamInfo(samples, sound.sampleRate), ...frames]);
}

function streamInfo(samples: number, sampleRate: number): Buffer {
  const block = Buffer.alloc(38);
  block[0] = 0x80; // the last metadata block, type 0
  block[3] = 34;
  block.writeUInt16BE(BLOCK, 4);
  block.writeUInt16BE(BLOCK, 6);
  const channels = 1n; // two, less one
  const depth = 15n; // sixteen bits, less one
  block.writeBigUInt64BE((BigInt(sampleRate) << 44n) | (channels << 41n) | (depth << 36n) | BigInt(samples), 14);
  return block;
}

function frame(index: number, samples: number): Buffer {
  // Sync code, fixed block size; size in 16 bits at the end; rate from the stream; two channels; 16 bits.
  const size = [(samples - 1) >> 8, (samples - 1) & 255];
  const head = [0xff, 0xf8, 0x70, 0x18, ...Buffer.from(codedNumber(index)), ...size];
  const constant = [0, 0, 0]; // a subframe of type "constant" with the sample 0
  const body = [...head, remainder(head, 0x07, 8), ...constant, ...constant];
  const check = remainder(body, 0x8005, 16);
  return Buffer.from([...body, check >> 8, check & 255]);
}

/** A frame number in the coding that UTF-8 uses. */
const codedNumber = (index: number): string => String.fromCodePoint(index < 0xd800 ? index : index + 0x800);

/** A cyclic redundancy check, highest bit first, starting from 0. */
function remainder(bytes: readonly number[], polynomial: number, width: 8 | 16): number {
  const top = 2 ** (width - 1);
  const mask = 2 ** width - 1;
  let rest = 0;
  for (const byte of bytes) {
    rest ^= byte << (width - 8);
    for (let bit = 0; bit < 8; bit++) rest = (rest & top ? (rest << 1) ^ polynomial : rest << 1) & mask;
  }
  return rest;
}
