import type { ReadAt } from "./byteWindow.ts";
import type { Extent } from "./extent.ts";

const MOST_CHUNKS = 10_000;

/** Source: PNG 3rd edition §11.2.1 (IHDR), §11.3.6.1 (acTL: an animation's number of frames, before the first IDAT). */
export async function pngExtent(read: ReadAt): Promise<Extent | undefined> {
  const head = await read(0, 24);
  if (head.length < 24 || head.toString("latin1", 12, 16) !== "IHDR") return undefined;
  return { width: head.readUInt32BE(16), height: head.readUInt32BE(20), frames: await framesOf(read) };
}

async function framesOf(read: ReadAt): Promise<number> {
  let position = 8;
  for (let chunks = 0; chunks < MOST_CHUNKS; chunks += 1) {
    const chunk = await read(position, 12);
    const type = chunk.toString("latin1", 4, 8);
    if (chunk.length < 12 || type === "IDAT") return 1;
    if (type === "acTL") return Math.max(1, chunk.readUInt32BE(8));
    position += 12 + chunk.readUInt32BE(0);
  }
  return 1;
}
