import { combo, float, int, link, side, string } from "./declare.ts";
import { edgeOf } from "./imageNodes.ts";
import type { InputTable, NodeClass, NodeInputs, NodeResult } from "./NodeClass.ts";
import { type Latent, numberOf, take, takeIfAny, textOf } from "./values.ts";

/** A latent in which nothing has been sampled yet. */
const emptyLatent = (width: unknown, height: unknown, length: number): Latent => ({
  kind: "latent",
  width: edgeOf(width),
  height: edgeOf(height),
  length: Math.max(1, length),
  text: "",
  seed: 0,
  caption: "empty latent",
});

/** Passes a conditioning on, with or without an addition to its text. */
const changed =
  (input: string, addition = "") =>
  (inputs: NodeInputs): NodeResult => ({
    outputs: [{ ...take(inputs[input], "conditioning"), text: take(inputs[input], "conditioning").text + addition }],
  });

const latentNode = (name: string, category: string, length: (inputs: NodeInputs) => number): NodeClass => ({
  name,
  category,
  inputs: () => ({
    required:
      category === "latent"
        ? { width: side(512), height: side(512), batch_size: int(1, { min: 1, max: 4096 }) }
        : {
            width: side(848, 16),
            height: side(480, 16),
            length: int(25, { min: 1, max: 16384, step: 4 }),
            batch_size: int(1, { min: 1, max: 4096 }),
          },
  }),
  outputs: ["LATENT"],
  run: (inputs) => ({ outputs: [emptyLatent(inputs["width"], inputs["height"], length(inputs))] }),
});

const frameCount = ({ length }: NodeInputs): number => numberOf(length);
const batchSize = ({ batch_size }: NodeInputs): number => numberOf(batch_size);

/** Inputs of the nodes that prepare a video from a picture. */
const videoInputs = (optional: InputTable["optional"] = {}): InputTable => ({
  required: {
    positive: link("CONDITIONING"),
    negative: link("CONDITIONING"),
    vae: link("VAE"),
    width: side(832, 16),
    height: side(480, 16),
    length: int(81, { min: 1, max: 16384, step: 4 }),
    batch_size: int(1, { min: 1, max: 4096 }),
  },
  optional,
});

const prepareVideo = ({ positive, negative, width, height, length }: NodeInputs): NodeResult => ({
  outputs: [positive, negative, emptyLatent(width, height, numberOf(length))],
});

/** Texts, latents and what prepares them (nodes.py, comfy_extras/nodes_hunyuan.py, nodes_wan.py, nodes_lt.py). */
export const CONDITIONING_NODES: readonly NodeClass[] = [
  {
    name: "CLIPTextEncode",
    displayName: "CLIP Text Encode (Prompt)",
    category: "conditioning",
    inputs: () => ({
      required: { text: string("", { multiline: true, dynamicPrompts: true }), clip: link("CLIP") },
    }),
    outputs: ["CONDITIONING"],
    run: ({ text }) => ({ outputs: [{ kind: "conditioning", text: textOf(text) }] }),
  },
  {
    name: "ConditioningZeroOut",
    category: "advanced/conditioning",
    inputs: () => ({ required: { conditioning: link("CONDITIONING") } }),
    outputs: ["CONDITIONING"],
    run: () => ({ outputs: [{ kind: "conditioning", text: "" }] }),
  },
  {
    name: "FluxGuidance",
    category: "advanced/conditioning/flux",
    pythonModule: "comfy_extras.nodes_flux",
    inputs: () => ({
      required: { conditioning: link("CONDITIONING"), guidance: float(3.5, { min: 0, max: 100, step: 0.1 }) },
    }),
    outputs: ["CONDITIONING"],
    run: changed("conditioning"),
  },
  {
    name: "ControlNetApply",
    category: "conditioning/controlnet",
    inputs: () => ({
      required: {
        conditioning: link("CONDITIONING"),
        control_net: link("CONTROL_NET"),
        image: link("IMAGE"),
        strength: float(1, { min: 0, max: 10, step: 0.01 }),
      },
    }),
    outputs: ["CONDITIONING"],
    run: changed("conditioning", " (controlled)"),
  },
  {
    name: "ControlNetApplyAdvanced",
    displayName: "Apply ControlNet",
    category: "conditioning/controlnet",
    inputs: () => ({
      required: {
        positive: link("CONDITIONING"),
        negative: link("CONDITIONING"),
        control_net: link("CONTROL_NET"),
        image: link("IMAGE"),
        strength: float(1, { min: 0, max: 10, step: 0.01 }),
        start_percent: float(0, { min: 0, max: 1, step: 0.001 }),
        end_percent: float(1, { min: 0, max: 1, step: 0.001 }),
      },
      optional: { vae: link("VAE") },
    }),
    outputs: ["CONDITIONING", "CONDITIONING"],
    outputNames: ["positive", "negative"],
    run: (inputs) => ({
      outputs: [...(changed("positive", " (controlled)")(inputs).outputs ?? []), inputs["negative"]],
    }),
  },
  {
    name: "CLIPVisionEncode",
    category: "conditioning",
    inputs: () => ({
      required: { clip_vision: link("CLIP_VISION"), image: link("IMAGE"), crop: combo(["center", "none"]) },
    }),
    outputs: ["CLIP_VISION_OUTPUT"],
    run: ({ clip_vision }) => ({ outputs: [clip_vision] }),
  },
  latentNode("EmptyLatentImage", "latent", batchSize),
  latentNode("EmptySD3LatentImage", "latent", batchSize),
  latentNode("EmptyHunyuanLatentVideo", "latent/video", frameCount),
  latentNode("EmptyLTXVLatentVideo", "latent/video", frameCount),
  latentNode("EmptyMochiLatentVideo", "latent/video", frameCount),
  {
    name: "WanImageToVideo",
    category: "conditioning/video_models",
    pythonModule: "comfy_extras.nodes_wan",
    inputs: () => videoInputs({ clip_vision_output: link("CLIP_VISION_OUTPUT"), start_image: link("IMAGE") }),
    outputs: ["CONDITIONING", "CONDITIONING", "LATENT"],
    outputNames: ["positive", "negative", "latent"],
    run: prepareVideo,
  },
  {
    name: "LTXVImgToVideo",
    category: "conditioning/video_models",
    pythonModule: "comfy_extras.nodes_lt",
    inputs: () => videoInputs({ image: link("IMAGE") }),
    outputs: ["CONDITIONING", "CONDITIONING", "LATENT"],
    outputNames: ["positive", "negative", "latent"],
    run: prepareVideo,
  },
  {
    name: "SVD_img2vid_Conditioning",
    category: "conditioning/video_models",
    pythonModule: "comfy_extras.nodes_video_model",
    inputs: () => ({
      required: {
        clip_vision: link("CLIP_VISION"),
        init_image: link("IMAGE"),
        vae: link("VAE"),
        width: side(1024),
        height: side(576),
        video_frames: int(14, { min: 1, max: 4096 }),
        motion_bucket_id: int(127, { min: 1, max: 1023 }),
        fps: int(6, { min: 1, max: 1024 }),
        augmentation_level: float(0, { min: 0, max: 10, step: 0.01 }),
      },
    }),
    outputs: ["CONDITIONING", "CONDITIONING", "LATENT"],
    outputNames: ["positive", "negative", "latent"],
    run: ({ width, height, video_frames }) => {
      const conditioning = { kind: "conditioning", text: "image to video" };
      return { outputs: [conditioning, conditioning, emptyLatent(width, height, numberOf(video_frames))] };
    },
  },
];

/** The text that a sampler draws. */
export function textFor(positive: unknown): string {
  return takeIfAny(positive, "conditioning")?.text ?? "";
}
