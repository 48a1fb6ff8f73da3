import { avifExtent } from "./avifExtent.ts";
import type { ReadAt } from "./byteWindow.ts";
import type { Extent } from "./extent.ts";
import { gifExtent } from "./gifExtent.ts";
import { jpegExtent } from "./jpegExtent.ts";
import { pngExtent } from "./pngExtent.ts";
import { tiffExtent } from "./tiffExtent.ts";
import { webpExtent } from "./webpExtent.ts";

/** Reads how large an image is from its header, without unpacking anything. Undefined when the header does not say. */
type ReadExtent = (read: ReadAt, sizeBytes: number) => Promise<Extent | undefined>;

const BY_FORMAT: Readonly<Record<string, ReadExtent>> = {
  PNG: pngExtent,
  JPEG: jpegExtent,
  GIF: gifExtent,
  WebP: webpExtent,
  TIFF: tiffExtent,
  AVIF: avifExtent,
  BMP: bmpExtent,
};

/** Formats whose extent can be read. */
export const MEASURED_FORMATS = Object.keys(BY_FORMAT);

/** @param format as `sniff` names it @returns undefined when this format, or this file, does not tell */
export async function imageExtent(format: string, read: ReadAt, sizeBytes: number): Promise<Extent | undefined> {
  const extent = await BY_FORMAT[format]?.(read, sizeBytes);
  return extent && extent.width > 0 && extent.height > 0 ? extent : undefined;
}

/** Source: Microsoft, BITMAPCOREHEADER and BITMAPINFOHEADER; a negative height means top down. */
async function bmpExtent(read: ReadAt): Promise<Extent | undefined> {
  const head = await read(0, 26);
  if (head.length < 26) return undefined;
  if (head.readUInt32LE(14) === 12) return { width: head.readUInt16LE(18), height: head.readUInt16LE(20), frames: 1 };
  return { width: Math.abs(head.readInt32LE(18)), height: Math.abs(head.readInt32LE(22)), frames: 1 };
}
