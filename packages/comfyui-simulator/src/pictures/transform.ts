import { type Picture, pictureOf, RASTER_EDGE, rasterAt, rasterSize } from "./Picture.ts";
import { mapRaster, type Raster } from "./raster.ts";

/** A picture at another size. */
export function scaled(picture: Picture, width: number, height: number): Picture {
  return pictureOf(width, height, () => {
    const old = picture.raster();
    const edge = Math.max(RASTER_EDGE, old.width, old.height);
    const size = rasterSize(width, height, edge);
    return old.width * height === old.height * width ? old : rasterAt(picture, size.width, size.height);
  });
}

/** A picture whose colours are turned round; alpha stays. */
export function inverted(picture: Picture): Picture {
  return pictureOf(picture.width, picture.height, () =>
    recoloured(picture.raster(), (value, channel) => (channel === 3 ? value : 255 - value)),
  );
}

/** Part of a picture, in its pixels; what lies outside is cut off. */
export function cropped(
  picture: Picture,
  area: { readonly x: number; readonly y: number; readonly width: number; readonly height: number },
): Picture {
  const left = Math.min(area.x, picture.width - 1);
  const top = Math.min(area.y, picture.height - 1);
  const width = Math.min(area.width, picture.width - left);
  const height = Math.min(area.height, picture.height - top);
  return pictureOf(width, height, () => {
    const old = picture.raster();
    const [across, down] = [old.width / picture.width, old.height / picture.height];
    const size = { width: Math.max(1, Math.round(width * across)), height: Math.max(1, Math.round(height * down)) };
    return mapRaster(old, size, (x, y) => [
      Math.min(old.width - 1, Math.floor(left * across) + x),
      Math.min(old.height - 1, Math.floor(top * down) + y),
    ]);
  });
}

/** A picture in which every dot is the mean of the dots up to `radius` dots away. */
export function blurred(picture: Picture, radius: number): Picture {
  return pictureOf(picture.width, picture.height, () => {
    const raster = picture.raster();
    const reach = Math.max(1, Math.min(8, Math.round((radius * raster.width) / picture.width)));
    return meanAlong(meanAlong(raster, reach, "x"), reach, "y");
  });
}

/** One channel of a picture as grey. */
export function channelOf(picture: Picture, channel: 0 | 1 | 2 | 3): Picture {
  return pictureOf(picture.width, picture.height, () => {
    const old = picture.raster();
    const dots = new Uint8Array(old.width * old.height * 3);
    for (let dot = 0; dot < old.width * old.height; dot++) {
      const value = channel < old.channels ? (old.dots[dot * old.channels + channel] ?? 0) : 255;
      dots.fill(value, dot * 3, dot * 3 + 3);
    }
    return { width: old.width, height: old.height, channels: 3, dots };
  });
}

/** A picture with the alpha channel of another one, which is brought to its size. */
export function withAlphaOf(picture: Picture, mask: Picture): Picture {
  return pictureOf(picture.width, picture.height, () => {
    const old = picture.raster();
    const alpha = rasterAt(mask, old.width, old.height);
    const dots = new Uint8Array(old.width * old.height * 4);
    for (let dot = 0; dot < old.width * old.height; dot++) {
      dots.set(old.dots.subarray(dot * old.channels, dot * old.channels + 3), dot * 4);
      dots[dot * 4 + 3] = alpha.channels === 4 ? (alpha.dots[dot * 4 + 3] ?? 255) : 255;
    }
    return { width: old.width, height: old.height, channels: 4, dots };
  });
}

/** A picture without its alpha channel. */
export function withoutAlpha(picture: Picture): Picture {
  return pictureOf(picture.width, picture.height, () => {
    const old = picture.raster();
    if (old.channels === 3) return old;
    const dots = new Uint8Array(old.width * old.height * 3);
    for (let dot = 0; dot < old.width * old.height; dot++) dots.set(old.dots.subarray(dot * 4, dot * 4 + 3), dot * 3);
    return { width: old.width, height: old.height, channels: 3, dots };
  });
}

function recoloured(raster: Raster, change: (value: number, channel: number) => number): Raster {
  return { ...raster, dots: raster.dots.map((value, at) => change(value, at % raster.channels)) };
}

function meanAlong(raster: Raster, reach: number, direction: "x" | "y"): Raster {
  const { width, height, channels } = raster;
  const dots = new Uint8Array(raster.dots.length);
  for (let at = 0; at < dots.length; at++) {
    const dot = Math.floor(at / channels);
    const [place, last] = direction === "x" ? [dot % width, width - 1] : [Math.floor(dot / width), height - 1];
    const step = direction === "x" ? channels : channels * width;
    let sum = 0;
    for (let away = -reach; away <= reach; away++) {
      const to = Math.max(0, Math.min(last, place + away));
      sum += raster.dots[at + (to - place) * step] ?? 0;
    }
    dots[at] = sum / (2 * reach + 1);
  }
  return { ...raster, dots };
}
