import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { type InputDeclaration, PythonError, pythonRepr } from "@comfyq/comfyui/wire";
import type { NodeContext } from "../engine/NodeContext.ts";
import type { Folders } from "../files/Folders.ts";
import { encodeAnimatedPng, encodePng } from "../pictures/encodePng.ts";
import { encodeAnimatedWebp } from "../pictures/encodeWebp.ts";
import type { Picture } from "../pictures/Picture.ts";
import { readPicture } from "../pictures/readPicture.ts";
import { channelOf, withoutAlpha } from "../pictures/transform.ts";
import { boolean, combo, float, int, link, string } from "./declare.ts";
import type { NodeClass, NodeInputs, NodeResult } from "./NodeClass.ts";
import { images, type Masks, numberOf, take, textOf } from "./values.ts";

/** Inputs that ComfyUI fills in for nodes that save. */
export const SAVE_HIDDEN = { prompt: "PROMPT", extra_pnginfo: "EXTRA_PNGINFO" } as const;

const PREFIX: InputDeclaration = string("ComfyUI", { tooltip: "The prefix for the file to save." });

/** The graph and what the client wants to have written beside it, as JSON texts by key. */
export function metadataOf(context: NodeContext): Map<string, string> {
  const extra = context.extraData["extra_pnginfo"];
  const entries = typeof extra === "object" && extra !== null ? Object.entries(extra) : [];
  return new Map([
    ["prompt", JSON.stringify(context.graph)],
    ...entries.map(([key, value]): [string, string] => [key, JSON.stringify(value)]),
  ]);
}

/** Whether a file that an input names is there, in ComfyUI's words. */
export function checkInputFile(kind: string, name: unknown, folders: Folders): true | string {
  const path = folders.locate(textOf(name));
  return existsSync(path) || `Invalid ${kind} file: ${textOf(name)}`;
}

/** Saves pictures as PNG, as SaveImage and PreviewImage do. */
export async function savePictures(
  inputs: NodeInputs,
  context: NodeContext,
  place: { readonly prefix: string; readonly type: "output" | "temp" },
): Promise<NodeResult> {
  const { pictures } = take(inputs["images"], "images");
  const text = metadataOf(context);
  const files = await Promise.all(pictures.map((picture) => encodePng(picture, { text })));
  const saved = await context.files.save({ ...place, ...sizeOf(pictures[0]), extension: ".png" }, files);
  return { ui: { images: saved }, outputs: [inputs["images"]] };
}

const sizeOf = ({ width, height }: Picture): { width: number; height: number } => ({ width, height });

/** Prefix of a preview: five letters that are new for every run. */
export function temporaryPrefix(): string {
  const letters = Array.from({ length: 5 }, () => String.fromCharCode(97 + Math.floor(Math.random() * 26)));
  return `ComfyUI_temp_${letters.join("")}`;
}

/** Larger input files are not decoded, only measured: the work would be noticed in benchmarks. */
const LARGEST_DECODED_BYTES = 1_000_000;
const MOST_DECODED_PIXELS = 1_000_000;

async function loadPicture(name: unknown, folders: Folders): Promise<Picture> {
  const path = folders.locate(textOf(name));
  const file = await readFile(path).catch(() => {
    throw new PythonError("FileNotFoundError", `[Errno 2] No such file or directory: ${pythonRepr(path)}`);
  });
  const picture = readPicture(file, textOf(name), file.length <= LARGEST_DECODED_BYTES ? MOST_DECODED_PIXELS : 0);
  if (!picture) throw new PythonError("PIL.UnidentifiedImageError", `cannot identify image file ${pythonRepr(path)}`);
  return picture;
}

/** What a mask is made of: 1 where the picture is transparent, 0 everywhere when it has no alpha. */
const maskOf = (picture: Picture): Masks => ({ kind: "masks", pictures: [channelOf(picture, 3)] });

const imageInput = (folders: Folders): InputDeclaration => combo(folders.inputNames(), { image_upload: true });

const frames = (inputs: NodeInputs): readonly [Picture, ...Picture[]] => take(inputs["images"], "images").pictures;

const ANIMATION = {
  images: link("IMAGE"),
  filename_prefix: PREFIX,
  fps: float(6, { min: 0.01, max: 1000, step: 0.01 }),
};

/** Nodes that read and write picture files (nodes.py, comfy_extras/nodes_images.py). */
export const IMAGE_FILE_NODES: readonly NodeClass[] = [
  {
    name: "SaveImage",
    displayName: "Save Image",
    description: "Saves the input images to your ComfyUI output directory.",
    category: "image",
    inputs: () => ({
      required: { images: link("IMAGE", { tooltip: "The images to save." }), filename_prefix: PREFIX },
      hidden: SAVE_HIDDEN,
    }),
    outputs: [],
    isOutput: true,
    run: (inputs, context) =>
      savePictures(inputs, context, { prefix: textOf(inputs["filename_prefix"]), type: "output" }),
  },
  {
    name: "PreviewImage",
    displayName: "Preview Image",
    category: "image",
    inputs: () => ({ required: { images: link("IMAGE") }, hidden: SAVE_HIDDEN }),
    outputs: [],
    isOutput: true,
    run: (inputs, context) => savePictures(inputs, context, { prefix: temporaryPrefix(), type: "temp" }),
  },
  {
    name: "LoadImage",
    displayName: "Load Image",
    category: "image",
    inputs: (folders) => ({ required: { image: imageInput(folders) } }),
    outputs: ["IMAGE", "MASK"],
    validation: { inputs: ["image"], check: ({ image }, folders) => checkInputFile("image", image, folders) },
    fingerprint: ({ image }, folders) => folders.hashOf(folders.locate(textOf(image))),
    run: async ({ image }, { folders }) => {
      const picture = await loadPicture(image, folders);
      return { outputs: [images([withoutAlpha(picture)]), maskOf(picture)] };
    },
  },
  {
    name: "LoadImageMask",
    displayName: "Load Image (as Mask)",
    category: "mask",
    inputs: (folders) => ({
      required: { image: imageInput(folders), channel: combo(["alpha", "red", "green", "blue"]) },
    }),
    outputs: ["MASK"],
    validation: { inputs: ["image"], check: ({ image }, folders) => checkInputFile("image", image, folders) },
    fingerprint: ({ image }, folders) => folders.hashOf(folders.locate(textOf(image))),
    run: async ({ image, channel }, { folders }) => {
      const picture = await loadPicture(image, folders);
      const number = ({ red: 0, green: 1, blue: 2 } as const)[textOf(channel)] ?? 3;
      return { outputs: [{ kind: "masks", pictures: [channelOf(picture, number)] }] };
    },
  },
  {
    name: "SaveAnimatedWEBP",
    category: "image/animation",
    pythonModule: "comfy_extras.nodes_images",
    inputs: () => ({
      required: {
        ...ANIMATION,
        lossless: boolean(true),
        quality: int(80, { min: 0, max: 100 }),
        method: combo(["default", "fastest", "slowest"]),
      },
      hidden: SAVE_HIDDEN,
    }),
    outputs: [],
    isOutput: true,
    run: (inputs, { files }) => {
      const file = encodeAnimatedWebp(frames(inputs), 1000 / numberOf(inputs["fps"]));
      return saveAnimation(inputs, files, { extension: ".webp", file });
    },
  },
  {
    name: "SaveAnimatedPNG",
    category: "image/animation",
    pythonModule: "comfy_extras.nodes_images",
    inputs: () => ({
      required: { ...ANIMATION, compress_level: int(4, { min: 0, max: 9 }) },
      hidden: SAVE_HIDDEN,
    }),
    outputs: [],
    isOutput: true,
    run: async (inputs, { files }) => {
      const file = await encodeAnimatedPng(frames(inputs), 1000 / numberOf(inputs["fps"]));
      return saveAnimation(inputs, files, { extension: ".png", file });
    },
  },
  {
    name: "SaveImageWebsocket",
    category: "api/image",
    pythonModule: "custom_nodes.websocket_image_save",
    inputs: () => ({ required: { images: link("IMAGE") } }),
    outputs: [],
    isOutput: true,
    fingerprint: () => undefined,
    run: async (inputs, context) => {
      const { pictures } = take(inputs["images"], "images");
      const bar = context.progressBar(pictures.length);
      for (const [index, picture] of pictures.entries()) {
        context.sendImage(await encodePng(picture));
        bar.update(index + 1);
      }
      return {};
    },
  },
];

async function saveAnimation(
  inputs: NodeInputs,
  files: NodeContext["files"],
  { extension, file }: { readonly extension: string; readonly file: Buffer },
): Promise<NodeResult> {
  const prefix = textOf(inputs["filename_prefix"]);
  const saved = await files.save({ prefix, type: "output", extension, ...sizeOf(frames(inputs)[0]) }, [file]);
  return { ui: { images: saved, animated: [true] } };
}
