import { encodePng } from "../pictures/encodePng.ts";
import type { Picture } from "../pictures/Picture.ts";
import { box, fullBox, uint16, uint32 } from "./boxes.ts";

/** Pictures with how long each is shown, in ms. */
export interface Film {
  readonly width: number;
  readonly height: number;
  readonly frames: readonly Picture[];
  readonly frameMs: number;
}

const TIMESCALE = 1000; // so that all durations below are ms

const UNITY_MATRIX = uint32(0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000);

/**
 * A film as MP4 file with one video track of PNG frames (object type 0x6D of the MPEG-4 registry, which ffmpeg and VLC
 * play). Nothing has to be compressed like video, and the file is still a real one.
 */
export async function encodeMp4(film: Film): Promise<Buffer> {
  const samples = await Promise.all(film.frames.map((picture) => encodePng(picture)));
  const type = box("ftyp", Buffer.from("isom"), uint32(0x200), Buffer.from("isomiso2mp41"));
  // The chunk offset is the only number that depends on the size of what stands before it.
  const headSize = type.length + movieBox(film, samples, 0).length;
  return Buffer.concat([type, movieBox(film, samples, headSize + 8), box("mdat", ...samples)]);
}

function movieBox(film: Film, samples: readonly Buffer[], firstSampleAt: number): Buffer {
  const durationMs = Math.round(film.frameMs) * samples.length;
  return box(
    "moov",
    fullBox("mvhd", 0, uint32(0, 0, TIMESCALE, durationMs, 0x10000), uint16(0x100, 0), uint32(0, 0), UNITY_MATRIX, [
      ...Buffer.alloc(24),
      ...uint32(2),
    ]),
    box("trak", trackHeader(film, durationMs), mediaBox(film, samples, { durationMs, firstSampleAt })),
  );
}

function trackHeader(film: Film, durationMs: number): Buffer {
  const size = uint32(film.width * 0x10000, film.height * 0x10000); // 16.16 fixed point
  return fullBox("tkhd", 3, uint32(0, 0, 1, 0, durationMs, 0, 0), uint16(0, 0, 0, 0), UNITY_MATRIX, size);
}

interface Layout {
  readonly durationMs: number;
  readonly firstSampleAt: number;
}

function mediaBox(film: Film, samples: readonly Buffer[], layout: Layout): Buffer {
  const handler = fullBox("hdlr", 0, uint32(0), Buffer.from("vide"), uint32(0, 0, 0), Buffer.from("Video\0"));
  const reference = box("dinf", fullBox("dref", 0, uint32(1), fullBox("url ", 1)));
  const information = box(
    "minf",
    fullBox("vmhd", 1, uint16(0, 0, 0, 0)),
    reference,
    sampleTable(film, samples, layout),
  );
  const header = fullBox("mdhd", 0, uint32(0, 0, TIMESCALE, layout.durationMs), uint16(0x55c4, 0)); // language "und"
  return box("mdia", header, handler, information);
}

function sampleTable(film: Film, samples: readonly Buffer[], layout: Layout): Buffer {
  return box(
    "stbl",
    fullBox("stsd", 0, uint32(1), sampleEntry(film)),
    fullBox("stts", 0, uint32(1, samples.length, Math.round(film.frameMs))),
    fullBox("stsc", 0, uint32(1, 1, samples.length, 1)),
    fullBox("stsz", 0, uint32(0, samples.length, ...samples.map((sample) => sample.length))),
    fullBox("stco", 0, uint32(1, layout.firstSampleAt)),
  );
}

function sampleEntry(film: Film): Buffer {
  const decoder = descriptor(0x04, [0x6d, 0x11, 0, 0, 0, ...uint32(0, 0)]); // 0x6D: PNG; 0x11: visual stream
  const stream = descriptor(0x03, [0, 1, 0, ...decoder, ...descriptor(0x06, [2])]);
  return box(
    "mp4v",
    Buffer.alloc(6),
    uint16(1, 0, 0),
    Buffer.alloc(12),
    uint16(film.width, film.height),
    uint32(0x480000, 0x480000, 0), // 72 dpi
    uint16(1),
    Buffer.alloc(32),
    uint16(24, 0xffff),
    fullBox("esds", 0, stream),
  );
}

const descriptor = (tag: number, content: readonly number[]): number[] => [tag, content.length, ...content];
