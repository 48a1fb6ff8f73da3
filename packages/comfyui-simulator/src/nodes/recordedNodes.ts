import { type InputDeclaration, PythonError } from "@comfyq/comfyui/wire";
import { outOfMemory } from "../engine/failures.ts";
import { paintSolid } from "../pictures/paint.ts";
import { combo, float, int, link, string } from "./declare.ts";
import { checkInputFile, savePictures, temporaryPrefix } from "./imageFileNodes.ts";
import { colourOf } from "./imageNodes.ts";
import { ExecutionBlocker, type NodeClass } from "./NodeClass.ts";
import { images, numberOf, textOf } from "./values.ts";

const IMAGES: InputDeclaration = link("IMAGE", {});

/** The recordings' images are Python lists of PIL images, and error messages show them so. */
const described = (width: number, height: number): string =>
  `[<PIL.Image.Image image mode=RGB size=${width}x${height} at 0x7F0000000000>]`;

/** A toy node that passes its pictures on. */
const toy = (name: string, more: Readonly<Record<string, InputDeclaration>>, run: NodeClass["run"]): NodeClass => ({
  name,
  category: "recorded",
  inputs: () => ({ required: { images: IMAGES, ...more } }),
  outputs: ["IMAGE"],
  run,
});

const SIZE: InputDeclaration = int(512, { min: 1, max: 16384, step: 1 });

/**
 * The classes of the recordings (reference/comfyui-traces-*.json), which were made with toy nodes: some replace core
 * nodes of the same name by simpler ones.
 */
export const RECORDED_NODES: readonly NodeClass[] = [
  {
    ...toy("EmptyImage", {}, ({ width, height, color }) => {
      const [wide, high] = [numberOf(width), numberOf(height)];
      const picture = paintSolid(wide, high, colourOf(numberOf(color)));
      return { outputs: [images([picture], described(wide, high))] };
    }),
    inputs: () => ({ required: { width: SIZE, height: SIZE, color: int(0) } }),
  },
  toy(
    "Slow",
    { seconds: float(1), steps: int(1), preview: ["BOOLEAN", { default: false }] },
    async ({ images: given, seconds, steps, preview }, context) => {
      const bar = context.progressBar(numberOf(steps));
      for (let step = 1; step <= numberOf(steps); step++) {
        await context.wait((numberOf(seconds) * 1000) / numberOf(steps));
        bar.update(step, preview === true ? paintSolid(16, 16, [200, 80, 40]) : undefined);
      }
      return { outputs: [given] };
    },
  ),
  toy("SleepNoProgress", { seconds: float(1) }, async ({ images: given, seconds }, context) => {
    await context.wait(numberOf(seconds) * 1000);
    return { outputs: [given] };
  }),
  {
    ...toy("AsyncSleep", { seconds: float(1) }, async ({ images: given, seconds }, context) => {
      await context.wait(numberOf(seconds) * 1000);
      return { outputs: [given] };
    }),
    isAsync: true,
  },
  toy("Raise", { kind: string("value") }, ({ kind }) => {
    throw kind === "oom" ? outOfMemory() : new PythonError("ValueError", "boom");
  }),
  toy("Blocker", { verbose: ["BOOLEAN", { default: false }] }, ({ verbose }) => ({
    outputs: [new ExecutionBlocker(verbose === true ? "blocked msg" : undefined)],
  })),
  toy("Expand", {}, ({ images: given }) => ({
    expand: { "1": { class_type: "SleepNoProgress", inputs: { images: given, seconds: 0 } } },
    outputs: [["1", 0]],
  })),
  { ...toy("NoUi", {}, () => ({})), outputs: [], isOutput: true },
  {
    ...toy("TextOut", {}, ({ text }) => ({ ui: { text: [textOf(text)] } })),
    inputs: () => ({ required: { text: string("") } }),
    outputs: [],
    isOutput: true,
  },
  {
    ...toy("Loader", {}, () => ({ outputs: [images([paintSolid(16, 16, [0, 0, 0])])] })),
    inputs: (folders) => ({
      required: { lora_name: combo(folders.modelNames("loras") ?? [], {}), strength: float(1) },
    }),
  },
  {
    ...toy("LoadImage", {}, () => ({ outputs: [images([paintSolid(16, 16, [0, 0, 0])])] })),
    inputs: (folders) => ({ required: { image: combo(folders.inputNames(), { image_upload: true }) } }),
    validation: { inputs: ["image"], check: ({ image }, folders) => checkInputFile("image", image, folders) },
  },
  {
    ...toy("SaveImage", { filename_prefix: string("ComfyUI") }, (inputs, context) =>
      savePictures(inputs, context, { prefix: textOf(inputs["filename_prefix"]), type: "output" }),
    ),
    isOutput: true,
    outputs: [],
  },
  {
    ...toy("PreviewImage", {}, (inputs, context) =>
      savePictures(inputs, context, { prefix: temporaryPrefix(), type: "temp" }),
    ),
    isOutput: true,
    outputs: [],
  },
];
