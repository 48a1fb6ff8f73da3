import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Workflow } from "@comfyq/contract";

/** A graph of infra/examples, fresh each time. */
export function example(name: "text-to-image" | "image-to-image" | "video" | "model-free"): Workflow {
  return JSON.parse(readFileSync(new URL(`../../../infra/examples/${name}.json`, import.meta.url), "utf8"));
}

/** Renders for about steps × the simulator's step time; different each time, so that nothing comes from its cache. */
export function sampling(steps: number): Workflow {
  const graph = example("text-to-image");
  for (const node of Object.values(graph))
    if (node.class_type === "KSampler")
      Object.assign(node.inputs, { steps, seed: Math.floor(Math.random() * 2 ** 50) });
  return graph;
}

/** Two values and no file. */
export const valuesOnly: Workflow = {
  "1": { class_type: "PrimitiveString", inputs: { value: "a fox in snow" } },
  "2": { class_type: "PreviewAny", inputs: { source: ["1", 0] } },
};

/** Loads `image` and saves it again. */
export function copyImage(image: string): Workflow {
  return {
    "10": { class_type: "LoadImage", inputs: { image } },
    "11": { class_type: "ImageInvert", inputs: { image: ["10", 0] } },
    "12": { class_type: "SaveImage", inputs: { images: ["11", 0], filename_prefix: "copy" } },
  };
}

/** A red pixel as PNG. */
export const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";

/** The same picture in other bytes each time: no instance has it yet. */
export function freshPixel(): Buffer {
  return Buffer.concat([Buffer.from(PIXEL, "base64"), randomBytes(8)]);
}
