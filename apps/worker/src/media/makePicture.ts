import type { PictureFormat } from "@comfyq/contract";
import type { Transformer } from "@napi-rs/image";
import { type PictureHead, readPictureHead } from "./readPictureHead.ts";

/** Decoded, a picture takes four bytes a pixel, and twice that on a white ground: an 8K frame still fits. */
const MOST_PIXELS = 36_000_000;
const THUMBNAIL_QUALITY = 80;

/** Why a picture is left as it is. */
export class PictureRefusal extends Error {
  override readonly name = "PictureRefusal";
}

/** A picture made of another one. */
export interface MadePicture {
  readonly bytes: Buffer;
  readonly width: number;
  readonly height: number;
}

/** What to make. */
export interface PictureWish {
  readonly format: PictureFormat;
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
  const head = readPictureHead(source);
  if (!head) throw new PictureRefusal("it is no PNG, JPEG or WebP picture");
  if (head.isAnimated) throw new PictureRefusal("it is animated");
  if (head.width * head.height > MOST_PIXELS)
    throw new PictureRefusal(`it has ${head.width} x ${head.height} pixels, and at most ${MOST_PIXELS} are converted`);
  const size = fittedSize(head, wish.mostPixels);
  try {
    const bytes = await encode(source, { ...wish, head, size }, signal);
    return { bytes, ...size };
  } catch (cause) {
    signal.throwIfAborted();
    throw new PictureRefusal("it cannot be decoded", { cause });
  }
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
