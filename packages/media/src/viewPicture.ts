import type { Transformer } from "@napi-rs/image";
import { decodableHead, decoding } from "./pictureLimits.ts";
import { forEachSlice, readPixels } from "./pixels.ts";

/** How a picture is to be looked at. */
export interface PictureView {
  /** `rgb`: without transparency, with the colours that it covers; `a`: the transparency alone, over black. */
  readonly channel: "rgba" | "rgb" | "a";
  /** JPEG has no transparency: there `rgba` is `rgb`. */
  readonly format: "png" | "webp" | "jpeg";
  /** 1 to 100; of JPEG and WebP. */
  readonly quality?: number | undefined;
}

/**
 * Makes what a client wants to see of a PNG, JPEG or still WebP file, as ComfyUI's `/view` does (server.py view_image). Metadata does
 * not come along.
 * @throws PictureRefusal when it is none, animated, too large or broken; the signal's reason
 */
export async function viewPicture(source: Buffer, view: PictureView, signal: AbortSignal): Promise<Buffer> {
  const { mayBeTransparent } = decodableHead(source);
  const codec = await import("@napi-rs/image");
  const isPlain = view.channel === "a" ? false : !mayBeTransparent || isTransparent(view);
  const picture = isPlain ? new codec.Transformer(source) : await changed(codec, source, view, signal);
  return decoding(() => encode(picture, view, signal), signal);
}

function isTransparent({ channel, format }: PictureView): boolean {
  return channel === "rgba" && format !== "jpeg";
}

async function changed(
  codec: typeof import("@napi-rs/image"),
  source: Buffer,
  { channel }: PictureView,
  signal: AbortSignal,
): Promise<Transformer> {
  const { width, height, rgba } = await readPixels(source, signal);
  await forEachSlice(width * height, (from, to) => {
    for (let at = from * 4; at < to * 4; at += 4) {
      if (channel === "a") rgba.fill(0, at, at + 3);
      else rgba[at + 3] = 255;
    }
  });
  return codec.Transformer.fromRgbaPixels(rgba, width, height);
}

function encode(picture: Transformer, { format, quality }: PictureView, signal: AbortSignal): Promise<Buffer> {
  if (format === "jpeg") return picture.jpeg(quality, signal);
  return format === "webp" ? picture.webp(quality, signal) : picture.png(null, signal);
}
