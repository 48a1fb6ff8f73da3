import { mapRaster, type Raster } from "./raster.ts";

/**
 * A picture of any size that is drawn small and only when it is wanted: `raster()` has the same shape but at most
 * {@link RASTER_EDGE} dots along its longer edge (files that were loaded keep theirs), and is scaled up when it is
 * written. So a 4096×4096 picture costs next to nothing to compute.
 */
export interface Picture {
  /** Size in pixels as everyone outside sees it. */
  readonly width: number;
  readonly height: number;
  readonly raster: () => Raster;
}

/** Longest edge of a raster that is drawn here, in dots. */
export const RASTER_EDGE = 256;

/** A picture that is drawn at most once. */
export function pictureOf(width: number, height: number, draw: () => Raster): Picture {
  let drawn: Raster | undefined;
  return {
    width,
    height,
    raster: () => {
      drawn ??= draw();
      return drawn;
    },
  };
}

/** Size of the raster for a picture of this size: the same shape, the longer edge at most `edge` dots. */
export function rasterSize(width: number, height: number, edge = RASTER_EDGE): { width: number; height: number } {
  const scale = Math.min(1, edge / Math.max(width, height));
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
}

/** The picture's raster at another size in dots, by nearest neighbour. */
export function rasterAt(picture: Picture, width: number, height: number): Raster {
  const raster = picture.raster();
  if (raster.width === width && raster.height === height) return raster;
  return mapRaster(raster, { width, height }, (x, y) => [
    Math.floor((x * raster.width) / width),
    Math.floor((y * raster.height) / height),
  ]);
}
