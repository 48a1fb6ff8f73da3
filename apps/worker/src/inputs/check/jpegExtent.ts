import type { ReadAt } from "./byteWindow.ts";
import type { Extent } from "./extent.ts";

const MOST_SEGMENTS = 10_000;
/** Start-of-frame markers but for DHT, JPG and DAC, which stand between them (ITU T.81 table B.1). */
const isFrame = (marker: number) => marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
/** Markers that stand alone, without a length. */
const isAlone = (marker: number) => marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8);

/** Walks the segments to the start of the frame. */
export async function jpegExtent(read: ReadAt): Promise<Extent | undefined> {
  let position = 2;
  for (let segments = 0; segments < MOST_SEGMENTS; segments += 1) {
    const head = await read(position, 9);
    const marker = head[1];
    if (head.length < 4 || head[0] !== 0xff || marker === undefined || marker === 0xda) return undefined;
    if (isFrame(marker))
      return head.length < 9 ? undefined : { width: head.readUInt16BE(7), height: head.readUInt16BE(5), frames: 1 };
    if (marker === 0xff)
      position += 1; // padding before a marker
    else position += isAlone(marker) ? 2 : 2 + head.readUInt16BE(2);
  }
  return undefined;
}
