import { encodeVp8l } from "./encodeVp8l.ts";
import type { Picture } from "./Picture.ts";

/** One picture as lossless WebP. */
export function encodeWebp(picture: Picture): Buffer {
  return riff([riffChunk("VP8L", encodeVp8l(picture))]);
}

/** Several pictures of one size as animated lossless WebP; `frameMs` is how long each is shown. Loops for ever. */
export function encodeAnimatedWebp(pictures: readonly [Picture, ...Picture[]], frameMs: number): Buffer {
  const { width, height } = pictures[0];
  const header = Buffer.alloc(10);
  header[0] = 0x02; // animation
  header.writeUIntLE(width - 1, 4, 3);
  header.writeUIntLE(height - 1, 7, 3);
  const frames = pictures.map((picture) => {
    const frame = Buffer.alloc(16);
    frame.writeUIntLE(width - 1, 6, 3);
    frame.writeUIntLE(height - 1, 9, 3);
    frame.writeUIntLE(Math.round(frameMs), 12, 3);
    frame[15] = 0x02; // do not blend
    return riffChunk("ANMF", Buffer.concat([frame, riffChunk("VP8L", encodeVp8l(picture))]));
  });
  return riff([riffChunk("VP8X", header), riffChunk("ANIM", Buffer.alloc(6)), ...frames]);
}

function riff(chunks: readonly Buffer[]): Buffer {
  const body = Buffer.concat([Buffer.from("WEBP", "latin1"), ...chunks]);
  return Buffer.concat([Buffer.from("RIFF", "latin1"), uint32(body.length), body]);
}

function riffChunk(type: string, content: Buffer): Buffer {
  const padding = Buffer.alloc(content.length % 2);
  return Buffer.concat([Buffer.from(type, "latin1"), uint32(content.length), content, padding]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
