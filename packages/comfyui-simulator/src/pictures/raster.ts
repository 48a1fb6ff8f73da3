/** Dots in rows from the top left, `channels` bytes each: red, green, blue and perhaps alpha. */
export interface Raster {
  readonly width: number;
  readonly height: number;
  readonly channels: 3 | 4;
  readonly dots: Uint8Array;
}

/** Red, green, blue, 0–255 each. */
export type Colour = readonly [red: number, green: number, blue: number];

/** A raster of one colour. */
export function solidRaster(width: number, height: number, [red, green, blue]: Colour): Raster {
  const dots = new Uint8Array(width * height * 3);
  for (let at = 0; at < dots.length; at += 3) {
    dots[at] = red;
    dots[at + 1] = green;
    dots[at + 2] = blue;
  }
  return { width, height, channels: 3, dots };
}

/** One dot as 0xAARRGGBB, alpha 255 when the raster has none. */
export function dotAt(raster: Raster, x: number, y: number): number {
  const at = (y * raster.width + x) * raster.channels;
  const { dots } = raster;
  const alpha = raster.channels === 4 ? (dots[at + 3] ?? 255) : 255;
  return ((alpha << 24) | ((dots[at] ?? 0) << 16) | ((dots[at + 1] ?? 0) << 8) | (dots[at + 2] ?? 0)) >>> 0;
}

/** Sets one dot; positions outside the raster are ignored. */
export function setDot(raster: Raster, at: readonly [x: number, y: number], colour: Colour): void {
  setRun(raster, { y: at[1], from: at[0], to: at[0] + 1 }, colour);
}

/** Sets part of a row, `to` exclusive; what lies outside the raster is ignored. */
export function setRun(
  raster: Raster,
  run: { readonly y: number; readonly from: number; readonly to: number },
  [red, green, blue]: Colour,
): void {
  const { width, height, channels, dots } = raster;
  if (run.y < 0 || run.y >= height) return;
  const end = (run.y * width + Math.min(width, run.to)) * channels;
  for (let place = (run.y * width + Math.max(0, run.from)) * channels; place < end; place += channels) {
    dots[place] = red;
    dots[place + 1] = green;
    dots[place + 2] = blue;
  }
}

/**
 * A raster made dot by dot from another one: `source` says which dot of the old one (0 based, whole numbers) stands at
 * a place of the new one.
 */
export function mapRaster(
  old: Raster,
  size: { readonly width: number; readonly height: number },
  source: (x: number, y: number) => readonly [x: number, y: number],
): Raster {
  const dots = new Uint8Array(size.width * size.height * old.channels);
  let at = 0;
  for (let y = 0; y < size.height; y++) {
    for (let x = 0; x < size.width; x++) {
      const [fromX, fromY] = source(x, y);
      const start = (fromY * old.width + fromX) * old.channels;
      for (let channel = 0; channel < old.channels; channel++) dots[at++] = old.dots[start + channel] ?? 0;
    }
  }
  return { ...size, channels: old.channels, dots };
}
