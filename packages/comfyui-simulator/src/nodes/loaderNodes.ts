import type { InputDeclaration } from "@comfyq/comfyui/wire";
import type { Folders } from "../files/Folders.ts";
import { combo, float, link, newCombo } from "./declare.ts";
import type { NodeClass, NodeInputs } from "./NodeClass.ts";
import { type Model, take, textOf } from "./values.ts";

const files = (folders: Folders, kind: string): InputDeclaration => combo(folders.modelNames(kind) ?? []);

const model = (name: string): Model => ({ kind: "model", name });

interface LoaderShape {
  readonly name: string;
  readonly category: string;
  /** Input name → folder kind. */
  readonly files: Readonly<Record<string, string>>;
  readonly outputs: readonly string[];
  readonly choices?: Readonly<Record<string, InputDeclaration>>;
  readonly optional?: Readonly<Record<string, InputDeclaration>>;
}

/** A node that names files of model folders, and passes on what it has "loaded" in every slot. */
const loader = (shape: LoaderShape): NodeClass => ({
  name: shape.name,
  category: shape.category,
  inputs: (folders) => ({
    required: {
      ...Object.fromEntries(Object.entries(shape.files).map(([input, kind]) => [input, files(folders, kind)])),
      ...shape.choices,
    },
    ...(shape.optional ? { optional: shape.optional } : {}),
  }),
  outputs: shape.outputs,
  run: (inputs) => {
    const names = Object.keys(shape.files).map((input) => textOf(inputs[input]));
    return { outputs: shape.outputs.map(() => model(names.join(" + "))) };
  },
});

const DTYPES = combo(["default", "fp8_e4m3fn", "fp8_e4m3fn_fast", "fp8_e5m2"]);
const CLIP_TYPES = ["stable_diffusion", "sd3", "flux", "hunyuan_video", "ltxv", "wan", "qwen_image"] as const;
const DEVICE: InputDeclaration = combo(["default", "cpu"], { advanced: true });

const STRENGTH = float(1, { min: -100, max: 100, step: 0.01 });

/** Adds what was loaded on top to a model's name, so that it is a different one. */
const patched = (inputs: NodeInputs, addition: string): Model =>
  model(`${take(inputs["model"], "model").name} + ${addition}`);

/** Nodes that load models (nodes.py), and some that patch them. */
export const LOADER_NODES: readonly NodeClass[] = [
  loader({
    name: "CheckpointLoaderSimple",
    category: "loaders",
    files: { ckpt_name: "checkpoints" },
    outputs: ["MODEL", "CLIP", "VAE"],
  }),
  loader({
    name: "ImageOnlyCheckpointLoader",
    category: "loaders/video_models",
    files: { ckpt_name: "checkpoints" },
    outputs: ["MODEL", "CLIP_VISION", "VAE"],
  }),
  loader({ name: "VAELoader", category: "loaders", files: { vae_name: "vae" }, outputs: ["VAE"] }),
  loader({
    name: "UNETLoader",
    category: "advanced/loaders",
    files: { unet_name: "diffusion_models" },
    outputs: ["MODEL"],
    choices: { weight_dtype: DTYPES },
  }),
  loader({
    name: "CLIPLoader",
    category: "advanced/loaders",
    files: { clip_name: "text_encoders" },
    outputs: ["CLIP"],
    choices: { type: combo(CLIP_TYPES) },
    optional: { device: DEVICE },
  }),
  loader({
    name: "DualCLIPLoader",
    category: "advanced/loaders",
    files: { clip_name1: "text_encoders", clip_name2: "text_encoders" },
    outputs: ["CLIP"],
    choices: { type: combo(["sdxl", "sd3", "flux", "hunyuan_video"]) },
    optional: { device: DEVICE },
  }),
  loader({
    name: "CLIPVisionLoader",
    category: "loaders",
    files: { clip_name: "clip_vision" },
    outputs: ["CLIP_VISION"],
  }),
  loader({
    name: "ControlNetLoader",
    category: "loaders",
    files: { control_net_name: "controlnet" },
    outputs: ["CONTROL_NET"],
  }),
  loader({
    name: "UpscaleModelLoader",
    category: "loaders",
    files: { model_name: "upscale_models" },
    outputs: ["UPSCALE_MODEL"],
  }),
  {
    name: "LoraLoader",
    displayName: "Load LoRA",
    category: "loaders",
    inputs: (folders) => ({
      required: {
        model: link("MODEL"),
        clip: link("CLIP"),
        lora_name: files(folders, "loras"),
        strength_model: STRENGTH,
        strength_clip: STRENGTH,
      },
    }),
    outputs: ["MODEL", "CLIP"],
    run: (inputs) => ({ outputs: [patched(inputs, textOf(inputs["lora_name"])), inputs["clip"]] }),
  },
  {
    name: "LoraLoaderModelOnly",
    category: "loaders",
    inputs: (folders) => ({
      required: { model: link("MODEL"), lora_name: files(folders, "loras"), strength_model: STRENGTH },
    }),
    outputs: ["MODEL"],
    run: (inputs) => ({ outputs: [patched(inputs, textOf(inputs["lora_name"]))] }),
  },
  ...["ModelSamplingSD3", "ModelSamplingAuraFlow"].map(
    (name): NodeClass => ({
      name,
      category: "advanced/model",
      pythonModule: "comfy_extras.nodes_model_advanced",
      inputs: () => ({ required: { model: link("MODEL"), shift: float(3, { min: 0, max: 100, step: 0.01 }) } }),
      outputs: ["MODEL"],
      run: ({ model: given }) => ({ outputs: [given] }),
    }),
  ),
  {
    name: "ADE_AnimateDiffLoaderGen1",
    category: "Animate Diff 🎭🅐🅓",
    pythonModule: "custom_nodes.ComfyUI-AnimateDiff-Evolved",
    inputs: (folders) => ({
      required: {
        model: link("MODEL"),
        model_name: files(folders, "animatediff_models"),
        beta_schedule: newCombo(["autoselect", "sqrt_linear (AnimateDiff)"], "autoselect"),
      },
    }),
    outputs: ["MODEL"],
    run: (inputs) => ({ outputs: [patched(inputs, textOf(inputs["model_name"]))] }),
  },
];
