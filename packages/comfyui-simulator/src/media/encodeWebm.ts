import { encodeJpeg } from "../pictures/encodeJpeg.ts";
import type { Film } from "./encodeMp4.ts";

/** A film as WebM file (Matroska elements, document type `webm`) with one track of JPEG frames. */
export function encodeWebm(film: Film): Buffer {
  const frameMs = Math.round(film.frameMs);
  return Buffer.concat([
    element("1a45dfa3", [
      element("4286", [number(1)]),
      element("42f7", [number(1)]),
      element("42f2", [number(4)]),
      element("42f3", [number(8)]),
      element("4282", [Buffer.from("webm")]),
      element("4287", [number(4)]),
      element("4285", [number(2)]),
    ]),
    element("18538067", [
      element("1549a966", [
        element("2ad7b1", [number(1_000_000)]), // one tick is 1 ms
        element("4489", [float(frameMs * film.frames.length)]),
        element("4d80", [Buffer.from("comfyq")]),
        element("5741", [Buffer.from("comfyq")]),
      ]),
      element("1654ae6b", [trackEntry(film)]),
      element("1f43b675", [element("e7", [number(0)]), ...film.frames.map((_, at) => block(film, at))]),
    ]),
  ]);
}

function trackEntry(film: Film): Buffer {
  // The frames are as small as they were drawn, and say so: ffmpeg takes a JPEG of less height for half a picture.
  const drawn = film.frames[0]?.raster() ?? film;
  const size = [element("b0", [number(drawn.width)]), element("ba", [number(drawn.height)])];
  const shown = [element("54b0", [number(film.width)]), element("54ba", [number(film.height)])];
  return element("ae", [
    element("d7", [number(1)]),
    element("73c5", [number(1)]),
    element("83", [number(1)]), // video
    element("86", [Buffer.from("V_MJPEG")]),
    element("e0", [...size, ...shown]),
  ]);
}

function block(film: Film, at: number): Buffer {
  const head = Buffer.from([0x81, 0, 0, 0x80]); // track 1, key frame
  head.writeInt16BE(Math.min(0x7fff, Math.round(film.frameMs) * at), 1);
  const frame = film.frames[at];
  return element("a3", frame ? [head, encodeJpeg(frame.raster())] : [head]);
}

/** One EBML element (RFC 8794): the id as it is written, a length of one byte or eight, the content. */
function element(id: string, parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const isShort = content.length < 127;
  const length = Buffer.alloc(isShort ? 1 : 8, 0x80 | (content.length & 127));
  if (!isShort) length.writeBigUInt64BE(2n ** 56n + BigInt(content.length));
  return Buffer.concat([Buffer.from(id, "hex"), length, content]);
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function float(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleBE(value);
  return bytes;
}
