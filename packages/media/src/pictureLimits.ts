import { type PictureHead, readPictureHead } from "./readPictureHead.ts";

/** Decoded, a picture takes four bytes a pixel, and twice that on a white ground: an 8K frame still fits. */
const MOST_PIXELS = 36_000_000;

/** A picture has to be whole in memory to be decoded. */
export const MOST_PICTURE_BYTES = 64 * 1024 * 1024;

/** Why a picture is left as it is. */
export class PictureRefusal extends Error {
  override readonly name = "PictureRefusal";
}

/** What a picture's head says, when it may be decoded. @throws PictureRefusal when it is none, animated or too large */
export function decodableHead(source: Buffer): PictureHead {
  const head = readPictureHead(source);
  if (!head) throw new PictureRefusal("it is no PNG, JPEG or WebP picture");
  if (head.isAnimated) throw new PictureRefusal("it is animated");
  if (head.width * head.height > MOST_PIXELS)
    throw new PictureRefusal(`it has ${head.width} x ${head.height} pixels, and at most ${MOST_PIXELS} are converted`);
  return head;
}

/** Runs what decodes. @throws PictureRefusal when that cannot be done; the signal's reason when it aborted */
export async function decoding<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    signal.throwIfAborted();
    throw new PictureRefusal("it cannot be decoded", { cause });
  }
}
