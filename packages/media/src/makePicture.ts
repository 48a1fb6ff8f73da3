import type { Transformer } from "@napi-rs/image";
import { decodableHead, decoding } from "./pictureLimits.ts";
import type { PictureHead } from "./readPictureHead.ts";

const THUMBNAIL_QUALITY = 80;

/** A picture made of another one. */
export interface MadePicture {
  readonly bytes: Buffer;
  readonly width: number;
  readonly height: number;
}

/** What to make. */
interface PictureWish {
  readonly format: "webp" | "jpeg";
  /** Default 80. */
  readonly quality?: number | undefined;
  /** Longest side; a smaller picture is not enlarged. Left out: as large as it is. */
  readonly mostPixels?: number | undefined;
}

/**
 * Makes another picture of a PNG, JPEG or still WebP file; outside of the event loop. Metadata does not come along.
 * @throws PictureRefusal when it is none, animated, too large or broken; the signal's reason
 */
export async function makePicture(source: Buffer, wish: PictureWish, signal: AbortSignal): Promise<MadePicture> {
  const head = decodableHead(source);
  const size = fittedSize(head, wish.mostPixels);
  const bytes = await decoding(() => encode(source, { ...wish, head, size }, signal), signal);
  return { bytes, ...size };
}

interface Size {
  readonly width: number;
  readonly height: number;
}

function fittedSize({ width, height }: Size, most: number | undefined): Size {
  const scale = Math.min(1, (most ?? Number.POSITIVE_INFINITY) / Math.max(width, height));
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
}

/** Everything but the last step only says what to do: it is done on a thread of its own. */
async function encode(
  source: Buffer,
  {
    format,
    quality = THUMBNAIL_QUALITY,
    head,
    size,
  }: PictureWish & { readonly head: PictureHead; readonly size: Size },
  signal: AbortSignal,
): Promise<Buffer> {
  const codec = await import("@napi-rs/image"); // not before it is needed: most workers never convert
  const isWhitened = format === "jpeg" && head.mayBeTransparent;
  const picture = isWhitened ? onWhite(codec, source, head) : new codec.Transformer(source);
  const isSmaller = size.width < head.width || size.height < head.height;
  const filter = codec.ResizeFilterType.Lanczos3;
  const sized = isSmaller ? picture.resize({ ...size, filter, fit: codec.ResizeFit.Fill }) : picture;
  return format === "jpeg" ? sized.jpeg(quality, signal) : sized.webp(quality, signal);
}

function onWhite(codec: typeof import("@napi-rs/image"), source: Buffer, { width, height }: Size): Transformer {
  const dot = codec.Transformer.fromRgbaPixels(new Uint8Array([255, 255, 255, 255]), 1, 1);
  const filter = codec.ResizeFilterType.Nearest;
  return dot.resize({ width, height, filter, fit: codec.ResizeFit.Fill }).overlay(source, 0, 0);
}
