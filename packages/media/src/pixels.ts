import { decodableHead, decoding } from "./pictureLimits.ts";

/** Pixels that are worked on before others get their turn: about a millisecond. */
const SLICE = 500_000;

/** A decoded picture: red, green, blue and opacity of each pixel, row by row. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly rgba: Uint8Array;
}

/**
 * Decodes a picture on a thread of its own. Colours under full transparency are kept.
 * @throws PictureRefusal when it is none, animated, too large or broken; the signal's reason
 */
export async function readPixels(source: Buffer, signal: AbortSignal): Promise<Pixels> {
  const { width, height, sampleBytes } = decodableHead(source);
  const codec = await import("@napi-rs/image");
  const samples = await decoding(() => new codec.Transformer(source).rawPixels(signal), signal);
  const channels = samples.length / (width * height * sampleBytes);
  if (channels === 4 && sampleBytes === 1) return { width, height, rgba: samples };
  const rgba = new Uint8Array(width * height * 4);
  const step = channels * sampleBytes;
  const top = sampleBytes - 1; // native order, little end first: the last byte of a sample says most
  const [green, blue] = channels < 3 ? [0, 0] : [sampleBytes, 2 * sampleBytes];
  const alpha = channels === 2 || channels === 4 ? (channels - 1) * sampleBytes : undefined;
  await forEachSlice(width * height, (from, to) => {
    for (let pixel = from; pixel < to; pixel += 1) {
      const at = pixel * step + top;
      rgba[pixel * 4] = samples[at] ?? 0;
      rgba[pixel * 4 + 1] = samples[at + green] ?? 0;
      rgba[pixel * 4 + 2] = samples[at + blue] ?? 0;
      rgba[pixel * 4 + 3] = alpha === undefined ? 255 : (samples[at + alpha] ?? 255);
    }
  });
  return { width, height, rgba };
}

/** Works through many pixels, and lets others have their turn in between. */
export async function forEachSlice(pixels: number, work: (from: number, to: number) => void): Promise<void> {
  for (let from = 0; from < pixels; from += SLICE) {
    work(from, Math.min(pixels, from + SLICE));
    await new Promise((resolve) => setImmediate(resolve));
  }
}
