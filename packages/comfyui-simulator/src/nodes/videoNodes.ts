import { join } from "node:path";
import type { NodeContext } from "../engine/NodeContext.ts";
import { encodeMp4, type Film } from "../media/encodeMp4.ts";
import { encodeWebm } from "../media/encodeWebm.ts";
import { encodePng } from "../pictures/encodePng.ts";
import { encodeAnimatedWebp } from "../pictures/encodeWebp.ts";
import type { Picture } from "../pictures/Picture.ts";
import { paintScene } from "../pictures/paint.ts";
import { numberOf as seedOf } from "../pictures/seededNoise.ts";
import { boolean, combo, float, int, link, newCombo, string } from "./declare.ts";
import { checkInputFile, metadataOf, SAVE_HIDDEN } from "./imageFileNodes.ts";
import type { NodeClass, NodeInputs, NodeResult } from "./NodeClass.ts";
import { images, numberOf, take, textOf } from "./values.ts";

/** A film of many frames is written with at most so many, each shown for longer: the time is right, the work small. */
const MOST_FRAMES = 16;

/** Frames with their rate as a film. */
function filmOf(pictures: readonly [Picture, ...Picture[]], framesPerSecond: number): Film {
  const step = Math.ceil(pictures.length / MOST_FRAMES);
  const kept = pictures.filter((_, index) => index % step === 0);
  const totalMs = (pictures.length * 1000) / framesPerSecond;
  return { width: pictures[0].width, height: pictures[0].height, frames: kept, frameMs: totalMs / kept.length };
}

const VIDEO_PREFIX = string("video/ComfyUI");

/** Video without a model (comfy_extras/nodes_video.py) and VideoHelperSuite's VideoCombine. */
export const VIDEO_NODES: readonly NodeClass[] = [
  {
    name: "CreateVideo",
    displayName: "Create Video",
    category: "image/video",
    pythonModule: "comfy_extras.nodes_video",
    inputs: () => ({
      required: { images: link("IMAGE"), fps: float(30, { min: 1, max: 120, step: 1 }) },
      optional: { audio: link("AUDIO") },
    }),
    outputs: ["VIDEO"],
    run: ({ images: batch, fps }) => ({
      outputs: [{ kind: "video", ...filmOf(take(batch, "images").pictures, numberOf(fps)) }],
    }),
  },
  {
    name: "SaveVideo",
    displayName: "Save Video",
    category: "image/video",
    pythonModule: "comfy_extras.nodes_video",
    inputs: () => ({
      required: {
        video: link("VIDEO"),
        filename_prefix: VIDEO_PREFIX,
        format: newCombo(["auto", "mp4"], "auto"),
        codec: newCombo(["auto", "h264"], "auto"),
      },
      hidden: SAVE_HIDDEN,
    }),
    outputs: [],
    isOutput: true,
    run: async ({ video, filename_prefix }, { files }) => {
      const film = take(video, "video");
      const request = { prefix: textOf(filename_prefix), type: "output", extension: ".mp4" } as const;
      const saved = await files.save({ ...request, width: film.width, height: film.height }, [await encodeMp4(film)]);
      return { ui: { images: saved, animated: [true] } };
    },
  },
  {
    name: "SaveWEBM",
    category: "image/video",
    pythonModule: "comfy_extras.nodes_video",
    inputs: () => ({
      required: {
        images: link("IMAGE"),
        filename_prefix: string("ComfyUI"),
        codec: combo(["vp9", "av1"]),
        fps: float(24, { min: 0.01, max: 1000, step: 0.01 }),
        crf: float(32, { min: 0, max: 63, step: 1 }),
      },
      hidden: SAVE_HIDDEN,
    }),
    outputs: [],
    isOutput: true,
    run: async ({ images: batch, filename_prefix, fps }, { files }) => {
      const film = filmOf(take(batch, "images").pictures, numberOf(fps));
      const request = { prefix: textOf(filename_prefix), type: "output", extension: ".webm" } as const;
      const saved = await files.save({ ...request, width: film.width, height: film.height }, [encodeWebm(film)]);
      return { ui: { images: saved, animated: [true] } };
    },
  },
  {
    name: "LoadVideo",
    displayName: "Load Video",
    category: "image/video",
    pythonModule: "comfy_extras.nodes_video",
    inputs: (folders) => ({ required: { file: newCombo(folders.inputNames()) } }),
    outputs: ["VIDEO"],
    validation: { inputs: ["file"], check: ({ file }, folders) => checkInputFile("video", file, folders) },
    fingerprint: ({ file }, folders) => folders.hashOf(folders.locate(textOf(file))),
    run: ({ file }) => {
      // Nothing here decodes video: a stand-in names the file.
      const text = textOf(file);
      const picture = paintScene({ width: 512, height: 288, text, seed: seedOf(text), caption: "loaded video" });
      return { outputs: [{ kind: "video", ...filmOf([picture], 1) }] };
    },
  },
  {
    name: "GetVideoComponents",
    category: "image/video",
    pythonModule: "comfy_extras.nodes_video",
    inputs: () => ({ required: { video: link("VIDEO") } }),
    outputs: ["IMAGE", "AUDIO", "FLOAT"],
    outputNames: ["images", "audio", "fps"],
    run: ({ video }) => {
      const film = take(video, "video");
      return { outputs: [images(film.frames), null, 1000 / film.frameMs] };
    },
  },
  {
    name: "VHS_VideoCombine",
    displayName: "Video Combine 🎥🅥🅗🅢",
    category: "Video Helper Suite 🎥🅥🅗🅢",
    pythonModule: "custom_nodes.ComfyUI-VideoHelperSuite",
    inputs: () => ({
      required: {
        images: link("IMAGE"),
        frame_rate: float(8, { min: 1, step: 1 }),
        loop_count: int(0, { min: 0, max: 100, step: 1 }),
        filename_prefix: string("AnimateDiff"),
        format: combo(["image/webp", "video/h264-mp4", "video/h265-mp4", "video/webm"]),
        pingpong: boolean(false),
        save_output: boolean(true),
      },
      optional: { audio: link("AUDIO"), meta_batch: link("VHS_BatchManager"), vae: link("VAE") },
      hidden: { ...SAVE_HIDDEN, unique_id: "UNIQUE_ID" },
    }),
    outputs: ["VHS_FILENAMES"],
    outputNames: ["Filenames"],
    isOutput: true,
    usesNodeId: true,
    run: combineVideo,
  },
];

/** Writes the film and its first frame under one number, as the custom node does; the shape of `gifs` is its own. */
async function combineVideo(inputs: NodeInputs, context: NodeContext): Promise<NodeResult> {
  const { pictures } = take(inputs["images"], "images");
  const rate = numberOf(inputs["frame_rate"]);
  const film = filmOf(pictures, rate);
  const format = textOf(inputs["format"]);
  const extension = format === "image/webp" ? ".webp" : format === "video/webm" ? ".webm" : ".mp4";
  const type = inputs["save_output"] === true ? "output" : "temp";
  const request = {
    prefix: textOf(inputs["filename_prefix"]),
    type,
    ending: "",
    width: film.width,
    height: film.height,
  } as const;
  const contents = new Map([
    [".png", await encodePng(pictures[0], { text: metadataOf(context) })],
    [extension, await encodeFilm(film, extension)],
  ]);
  const saved = await context.files.saveTogether(request, contents);
  const paths = saved.map(({ subfolder, filename }) => join(context.folders.pathOf(type), subfolder, filename));
  const [still, video] = saved;
  const entry = { ...video, format, frame_rate: rate, workflow: still?.filename, fullpath: paths[1] };
  return { ui: { gifs: [entry] }, outputs: [[type === "output", paths]] };
}

async function encodeFilm(film: Film, extension: string): Promise<Buffer> {
  if (extension === ".mp4") return encodeMp4(film);
  if (extension === ".webm") return encodeWebm(film);
  const [first, ...rest] = film.frames;
  return first ? encodeAnimatedWebp([first, ...rest], film.frameMs) : Buffer.alloc(0);
}
