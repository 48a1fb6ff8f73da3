import type { ReadAt } from "./byteWindow.ts";
import { type Extent, MOST_FRAMES } from "./extent.ts";

/** Source: RFC 9649 §2.7 (extended), §3.4 (lossless); RFC 6386 §9.1 (lossy). */
export async function webpExtent(read: ReadAt, sizeBytes: number): Promise<Extent | undefined> {
  const head = await read(0, 30);
  if (head.length < 30) return undefined;
  switch (head.toString("latin1", 12, 16)) {
    case "VP8 ":
      return { width: head.readUInt16LE(26) & 0x3fff, height: head.readUInt16LE(28) & 0x3fff, frames: 1 };
    case "VP8L": {
      const bits = head.readUInt32LE(21);
      return { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1, frames: 1 };
    }
    case "VP8X":
      return {
        width: head.readUIntLE(24, 3) + 1,
        height: head.readUIntLE(27, 3) + 1,
        frames: await framesOf(read, sizeBytes),
      };
    default:
      return undefined;
  }
}

async function framesOf(read: ReadAt, sizeBytes: number): Promise<number> {
  let frames = 0;
  for (let position = 12; position + 8 <= sizeBytes && frames < MOST_FRAMES; ) {
    const chunk = await read(position, 8);
    if (chunk.length < 8) break;
    if (chunk.toString("latin1", 0, 4) === "ANMF") frames += 1;
    const length = chunk.readUInt32LE(4);
    position += 8 + length + (length % 2);
  }
  return Math.max(1, frames);
}
