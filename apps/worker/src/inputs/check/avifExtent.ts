import type { ReadAt } from "./byteWindow.ts";
import type { Extent } from "./extent.ts";

/** The description stands at the beginning, before the pictures. */
const SEARCHED_BYTES = 1_048_576;

/**
 * The largest picture that AVIF, HEIC or another HEIF file describes (ISO 23008-12 §6.5.3, `ispe`), and the frames of its
 * longest sequence (ISO 14496-12 §8.7.3, `stsz`). Looked for anywhere in the description: one too many is on the safe side.
 */
export async function avifExtent(read: ReadAt): Promise<Extent | undefined> {
  const head = await read(0, SEARCHED_BYTES);
  let [width, height, frames] = [0, 0, 1];
  for (const at of placesOf(head, "ispe", 16)) {
    const [w, h] = [head.readUInt32BE(at + 8), head.readUInt32BE(at + 12)];
    if (w * h > width * height) [width, height] = [w, h];
  }
  for (const at of placesOf(head, "stsz", 16)) frames = Math.max(frames, head.readUInt32BE(at + 12));
  return width === 0 ? undefined : { width, height, frames };
}

function* placesOf(head: Buffer, type: string, length: number): Generator<number> {
  for (let at = head.indexOf(type); at !== -1 && at + length <= head.length; at = head.indexOf(type, at + 4)) yield at;
}
