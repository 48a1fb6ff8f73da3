import type { ReadAt } from "./byteWindow.ts";
import type { Extent } from "./extent.ts";

const MOST_PAGES = 10_000;
const MOST_ENTRIES = 4_096;
const WIDTH = 256;
const HEIGHT = 257;
const SHORT = 3;

/** Where things stand in classic TIFF and in BigTIFF (TIFF 6.0 §2; BigTIFF). */
interface Layout {
  readonly isLittle: boolean;
  readonly isBig: boolean;
}

interface Page {
  readonly width: number;
  readonly height: number;
  readonly next: number;
}

/** Walks the directories, one for each page; frames are counted as if all were as large as the largest. */
export async function tiffExtent(read: ReadAt): Promise<Extent | undefined> {
  const head = await read(0, 16);
  if (head.length < 16) return undefined;
  const isLittle = head[0] === 0x49;
  const layout = { isLittle, isBig: uint(head, 2, 2, isLittle) === 43 };
  let at = layout.isBig ? uint(head, 8, 8, isLittle) : uint(head, 4, 4, isLittle);
  let [width, height, frames] = [0, 0, 0];
  const seen = new Set<number>();
  while (at !== 0 && !seen.has(at) && frames < MOST_PAGES) {
    seen.add(at);
    const page = await readPage(read, at, layout);
    if (!page) break;
    [width, height, frames] = [Math.max(width, page.width), Math.max(height, page.height), frames + 1];
    at = page.next;
  }
  return frames === 0 ? undefined : { width, height, frames };
}

async function readPage(read: ReadAt, at: number, { isLittle, isBig }: Layout): Promise<Page | undefined> {
  const [countBytes, entryBytes, offsetBytes] = isBig ? [8, 20, 8] : [2, 12, 4];
  const counted = await read(at, countBytes);
  if (counted.length < countBytes) return undefined;
  const entries = Math.min(uint(counted, 0, countBytes, isLittle), MOST_ENTRIES);
  const table = await read(at + countBytes, entries * entryBytes + offsetBytes);
  if (table.length < entries * entryBytes) return undefined;
  const fieldOf = (tag: number): number => {
    for (let entry = 0; entry < entries * entryBytes; entry += entryBytes) {
      if (uint(table, entry, 2, isLittle) !== tag) continue;
      const isShort = uint(table, entry + 2, 2, isLittle) === SHORT;
      return uint(table, entry + (isBig ? 12 : 8), isShort ? 2 : 4, isLittle);
    }
    return 0;
  };
  const hasNext = table.length >= entries * entryBytes + offsetBytes;
  const next = hasNext ? uint(table, entries * entryBytes, offsetBytes, isLittle) : 0;
  return { width: fieldOf(WIDTH), height: fieldOf(HEIGHT), next };
}

function uint(bytes: Buffer, at: number, length: number, isLittle: boolean): number {
  if (length === 8) return Number(isLittle ? bytes.readBigUInt64LE(at) : bytes.readBigUInt64BE(at));
  return isLittle ? bytes.readUIntLE(at, length) : bytes.readUIntBE(at, length);
}
