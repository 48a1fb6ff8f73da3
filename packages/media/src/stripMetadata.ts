import { ByteFeed } from "./byteFeed.ts";
import { stripFlac, stripMatroska, stripMp4 } from "./stripFilms.ts";
import { stripJpeg, stripPng, stripWebp } from "./stripPictures.ts";

type Strip = (feed: ByteFeed) => AsyncGenerator<Buffer>;

const STRIPS: Readonly<Record<string, Strip>> = {
  png: stripPng,
  apng: stripPng,
  jpg: stripJpeg,
  jpeg: stripJpeg,
  webp: stripWebp,
  mp4: stripMp4,
  m4v: stripMp4,
  mov: stripMp4,
  m4a: stripMp4,
  webm: stripMatroska,
  mkv: stripMatroska,
  flac: stripFlac,
};

/** Formats that have no texts of ComfyUI's in them. */
const PLAIN = ["txt", "json", "csv", "md", "wav", "bmp"];

/**
 * The way to take the workflow, prompt and other texts out of a file of this name, piece by piece, without touching what it
 * shows. `"none"` when such files hold none; undefined when there is no way.
 */
export function stripFor(
  filename: string,
): ((bytes: AsyncIterable<Buffer>) => AsyncGenerator<Buffer>) | "none" | undefined {
  const extension = /\.([a-z0-9]+)$/i.exec(filename)?.[1]?.toLowerCase() ?? "";
  if (PLAIN.includes(extension)) return "none";
  const strip = Object.hasOwn(STRIPS, extension) ? STRIPS[extension] : undefined;
  return strip && ((bytes) => strip(new ByteFeed(bytes)));
}
