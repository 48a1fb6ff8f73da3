import { paintSolid } from "../pictures/paint.ts";
import { float, int, link, MAX_RESOLUTION } from "./declare.ts";
import { edgeOf } from "./imageNodes.ts";
import type { NodeClass } from "./NodeClass.ts";
import { images, numberOf, take } from "./values.ts";

/** Masks (comfy_extras/nodes_mask.py). */
export const MASK_NODES: readonly NodeClass[] = [
  {
    name: "SolidMask",
    category: "mask",
    pythonModule: "comfy_extras.nodes_mask",
    inputs: () => ({
      required: {
        value: float(1, { min: 0, max: 1, step: 0.01 }),
        width: int(512, { min: 1, max: MAX_RESOLUTION, step: 1 }),
        height: int(512, { min: 1, max: MAX_RESOLUTION, step: 1 }),
      },
    }),
    outputs: ["MASK"],
    run: ({ value, width, height }) => {
      const grey = Math.round(numberOf(value) * 255);
      return {
        outputs: [{ kind: "masks", pictures: [paintSolid(edgeOf(width), edgeOf(height), [grey, grey, grey])] }],
      };
    },
  },
  {
    name: "MaskToImage",
    displayName: "Convert Mask to Image",
    category: "mask",
    pythonModule: "comfy_extras.nodes_mask",
    inputs: () => ({ required: { mask: link("MASK") } }),
    outputs: ["IMAGE"],
    run: ({ mask }) => ({ outputs: [images(take(mask, "masks").pictures)] }),
  },
  {
    name: "ImageToMask",
    displayName: "Convert Image to Mask",
    category: "mask",
    pythonModule: "comfy_extras.nodes_mask",
    inputs: () => ({
      required: { image: link("IMAGE"), channel: [["red", "green", "blue", "alpha"]] },
    }),
    outputs: ["MASK"],
    run: ({ image }) => ({ outputs: [{ kind: "masks", pictures: take(image, "images").pictures }] }),
  },
];
