import type { Picture } from "../pictures/Picture.ts";
import { paintSolid } from "../pictures/paint.ts";
import type { Colour } from "../pictures/raster.ts";
import { blurred, cropped, inverted, scaled } from "../pictures/transform.ts";
import { combo, float, int, link, MAX_RESOLUTION } from "./declare.ts";
import type { NodeClass } from "./NodeClass.ts";
import { images, numberOf, take } from "./values.ts";

const METHODS = ["nearest-exact", "bilinear", "area", "bicubic", "lanczos"] as const;

/** A colour widget's number as colour. */
export const colourOf = (value: number): Colour => [(value >>> 16) & 255, (value >>> 8) & 255, value & 255];

/** Widths and heights are believed up to this; larger pictures are made this large. */
const LARGEST_EDGE = 4096;

/** A side in pixels that a picture is really made with. */
export const edgeOf = (value: unknown): number => Math.max(1, Math.min(LARGEST_EDGE, numberOf(value)));

const changeEach = (value: unknown, change: (picture: Picture) => Picture): { outputs: unknown[] } => ({
  outputs: [images(take(value, "images").pictures.map(change))],
});

/** Nodes that make and change pictures without a model (nodes.py, comfy_extras/nodes_images.py). */
export const IMAGE_NODES: readonly NodeClass[] = [
  {
    name: "EmptyImage",
    category: "image",
    inputs: () => ({
      required: {
        width: int(512, { min: 1, max: MAX_RESOLUTION, step: 1 }),
        height: int(512, { min: 1, max: MAX_RESOLUTION, step: 1 }),
        batch_size: int(1, { min: 1, max: 4096 }),
        color: ["INT", { default: 0, min: 0, max: 0xffffff, step: 1, display: "color" }],
      },
    }),
    outputs: ["IMAGE"],
    run: ({ width, height, batch_size, color }) => {
      const picture = paintSolid(edgeOf(width), edgeOf(height), colourOf(numberOf(color)));
      return { outputs: [images(Array.from({ length: numberOf(batch_size) }, () => picture))] };
    },
  },
  {
    name: "ImageScale",
    displayName: "Upscale Image",
    category: "image/upscaling",
    inputs: () => ({
      required: {
        image: link("IMAGE"),
        upscale_method: combo(METHODS),
        width: int(512, { min: 0, max: MAX_RESOLUTION, step: 1 }),
        height: int(512, { min: 0, max: MAX_RESOLUTION, step: 1 }),
        crop: combo(["disabled", "center"]),
      },
    }),
    outputs: ["IMAGE"],
    run: ({ image, width, height }) =>
      changeEach(image, (picture) => scaled(picture, ...sides(picture, width, height))),
  },
  {
    name: "ImageScaleBy",
    displayName: "Upscale Image By",
    category: "image/upscaling",
    inputs: () => ({
      required: {
        image: link("IMAGE"),
        upscale_method: combo(METHODS),
        scale_by: float(1, { min: 0.01, max: 8, step: 0.01 }),
      },
    }),
    outputs: ["IMAGE"],
    run: ({ image, scale_by }) =>
      changeEach(image, (picture) =>
        scaled(
          picture,
          edgeOf(Math.round(picture.width * numberOf(scale_by))),
          edgeOf(Math.round(picture.height * numberOf(scale_by))),
        ),
      ),
  },
  {
    name: "ImageInvert",
    displayName: "Invert Image",
    category: "image",
    inputs: () => ({ required: { image: link("IMAGE") } }),
    outputs: ["IMAGE"],
    run: ({ image }) => changeEach(image, inverted),
  },
  {
    name: "ImageBlur",
    category: "image/postprocessing",
    pythonModule: "comfy_extras.nodes_post_processing",
    inputs: () => ({
      required: {
        image: link("IMAGE"),
        blur_radius: int(1, { min: 1, max: 31, step: 1 }),
        sigma: float(1, { min: 0.1, max: 10, step: 0.1 }),
      },
    }),
    outputs: ["IMAGE"],
    run: ({ image, blur_radius }) => changeEach(image, (picture) => blurred(picture, numberOf(blur_radius))),
  },
  {
    name: "ImageCrop",
    category: "image/transform",
    pythonModule: "comfy_extras.nodes_images",
    inputs: () => ({
      required: {
        image: link("IMAGE"),
        width: int(512, { min: 1, max: MAX_RESOLUTION, step: 1 }),
        height: int(512, { min: 1, max: MAX_RESOLUTION, step: 1 }),
        x: int(0, { min: 0, max: MAX_RESOLUTION, step: 1 }),
        y: int(0, { min: 0, max: MAX_RESOLUTION, step: 1 }),
      },
    }),
    outputs: ["IMAGE"],
    run: ({ image, width, height, x, y }) =>
      changeEach(image, (picture) =>
        cropped(picture, { x: numberOf(x), y: numberOf(y), width: numberOf(width), height: numberOf(height) }),
      ),
  },
  {
    name: "ImageBatch",
    displayName: "Batch Images",
    category: "image",
    inputs: () => ({ required: { image1: link("IMAGE"), image2: link("IMAGE") } }),
    outputs: ["IMAGE"],
    run: ({ image1, image2 }) => {
      const { pictures } = take(image1, "images");
      const { width, height } = pictures[0];
      // The second batch takes the size of the first one.
      const others = take(image2, "images").pictures.map((picture) => scaled(picture, width, height));
      return { outputs: [images([...pictures, ...others])] };
    },
  },
  {
    name: "RepeatImageBatch",
    category: "image/batch",
    pythonModule: "comfy_extras.nodes_images",
    inputs: () => ({ required: { image: link("IMAGE"), amount: int(1, { min: 1, max: 4096 }) } }),
    outputs: ["IMAGE"],
    run: ({ image, amount }) => {
      const { pictures } = take(image, "images");
      return { outputs: [images(Array.from({ length: numberOf(amount) }, () => pictures).flat())] };
    },
  },
  {
    name: "GetImageSize",
    displayName: "Get Image Size",
    category: "image",
    pythonModule: "comfy_extras.nodes_images",
    inputs: () => ({ required: { image: link("IMAGE") }, hidden: { unique_id: "UNIQUE_ID" } }),
    outputs: ["INT", "INT", "INT"],
    outputNames: ["width", "height", "batch_size"],
    usesNodeId: true,
    run: ({ image }, context) => {
      const { pictures } = take(image, "images");
      const { width, height } = pictures[0];
      context.sendText(`width: ${width}, height: ${height}\n batch size: ${pictures.length}`);
      return { outputs: [width, height, pictures.length] };
    },
  },
];

/** A side of 0 follows the other one. */
function sides(picture: Picture, width: unknown, height: unknown): [width: number, height: number] {
  const [wide, high] = [numberOf(width), numberOf(height)];
  const across = wide || Math.round((picture.width * (high || picture.height)) / picture.height);
  return [edgeOf(across), edgeOf(high || Math.round((picture.height * across) / picture.width))];
}
