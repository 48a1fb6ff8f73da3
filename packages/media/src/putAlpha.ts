import { decoding, PictureRefusal } from "./pictureLimits.ts";
import { forEachSlice, readPixels } from "./pixels.ts";
import { pngTexts } from "./pngTexts.ts";

/** Of a PNG file: signature, and the head's chunk. Texts may stand behind them. */
const PNG_HEAD_BYTES = 33;

/**
 * Gives a picture the transparency of another one of its size, as ComfyUI's `/upload/mask` does (server.py upload_mask): colours are
 * kept where it becomes transparent, and so are a PNG's texts, such as its workflow.
 * @returns a PNG file
 * @throws PictureRefusal when one of them is none, animated, too large or broken, or they differ in size; the signal's reason
 */
export async function putAlpha(original: Buffer, mask: Buffer, signal: AbortSignal): Promise<Buffer> {
  const { width, height, rgba } = await readPixels(original, signal);
  const other = await readPixels(mask, signal);
  if (other.width !== width || other.height !== height)
    throw new PictureRefusal(
      `it has ${other.width} x ${other.height} pixels, and the original ${width} x ${height}; both must be alike`,
    );
  await forEachSlice(width * height, (from, to) => {
    for (let at = from * 4 + 3; at < to * 4; at += 4) rgba[at] = other.rgba[at] ?? 255;
  });
  const { Transformer } = await import("@napi-rs/image");
  const made = await decoding(() => Transformer.fromRgbaPixels(rgba, width, height).png(null, signal), signal);
  return Buffer.concat([made.subarray(0, PNG_HEAD_BYTES), ...pngTexts(original), made.subarray(PNG_HEAD_BYTES)]);
}
