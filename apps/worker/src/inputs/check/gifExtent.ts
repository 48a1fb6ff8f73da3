import type { ReadAt } from "./byteWindow.ts";
import { type Extent, MOST_FRAMES } from "./extent.ts";

const EXTENSION = 0x21;
const IMAGE = 0x2c;

/** Walks the blocks and counts the images (GIF89a §17 to §24). A frame may be larger than the screen it is drawn on. */
export async function gifExtent(read: ReadAt): Promise<Extent | undefined> {
  const head = await read(0, 13);
  if (head.length < 13) return undefined;
  let [width, height, frames] = [head.readUInt16LE(6), head.readUInt16LE(8), 0];
  let position = 13 + colorTableBytes(head[10]);
  while (frames < MOST_FRAMES) {
    const block = await read(position, 10);
    if (block[0] === EXTENSION) position = await afterSubBlocks(read, position + 2);
    else if (block[0] === IMAGE && block.length === 10) {
      frames += 1;
      width = Math.max(width, block.readUInt16LE(1) + block.readUInt16LE(5));
      height = Math.max(height, block.readUInt16LE(3) + block.readUInt16LE(7));
      position = await afterSubBlocks(read, position + 10 + colorTableBytes(block[9]) + 1);
    } else break; // the trailer, or the end of what came
  }
  return { width, height, frames: Math.max(1, frames) };
}

function colorTableBytes(flags = 0): number {
  return flags & 0x80 ? 3 * 2 ** ((flags & 7) + 1) : 0;
}

async function afterSubBlocks(read: ReadAt, start: number): Promise<number> {
  let position = start;
  for (;;) {
    const [length] = await read(position, 1);
    position += 1 + (length ?? 0);
    if (!length) return position;
  }
}
