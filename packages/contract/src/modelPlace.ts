import { isSafePath, SAFE_PATH_RULE } from "./safePath.ts";

/**
 * Folders of ComfyUI's models that a job may send files to. Not `configs`, whose files are programs in all but name.
 * Source: folder_paths.py, reference/comfyui-protocol.md §4.
 */
const MODEL_FOLDERS = [
  "audio_encoders",
  "background_removal",
  "checkpoints",
  "classifiers",
  "clip_vision",
  "controlnet",
  "detection",
  "diffusers",
  "diffusion_models",
  "embeddings",
  "frame_interpolation",
  "geometry_estimation",
  "gligen",
  "hypernetworks",
  "latent_upscale_models",
  "loras",
  "model_patches",
  "optical_flow",
  "photomaker",
  "style_models",
  "text_encoders",
  "upscale_models",
  "vae",
  "vae_approx",
];

/** Other names of the same folders, which ComfyUI searches too: one file shall have one place. */
const OTHER_NAMES: Readonly<Record<string, string>> = {
  clip: "text_encoders",
  t2i_adapter: "controlnet",
  unet: "diffusion_models",
};

/** Formats that hold numbers and nothing that is run when it is loaded. */
const SAFE_EXTENSIONS = [".safetensors", ".sft", ".gguf"];

/** What an operator allows beyond the usual. */
export interface ModelRules {
  /** Folders of custom nodes, such as `animatediff_models`. */
  readonly extraFolders: readonly string[];
  /** Extensions of formats that can run code when they are loaded: `.ckpt`, `.pt`. */
  readonly unsafeExtensions: readonly string[];
}

/** Where a model file is to lie below the models folder. */
export interface ModelPlace {
  /** As ComfyUI names it today: `text_encoders`, also when the customer wrote `clip`. */
  readonly folder: string;
  /** As graphs name it, with sub-folders: `style/fox.safetensors`. */
  readonly name: string;
  /** Lower case, with its dot. */
  readonly extension: string;
}

export const MODEL_DESTINATION = "/models/";

/** Reads a `files` destination `/models/<folder>/<name>`; `fault` says in words why it cannot be taken. */
export function parseModelPlace(
  destination: string,
  rules: ModelRules,
): { readonly place: ModelPlace; readonly fault?: never } | { readonly fault: string; readonly place?: never } {
  const [, written = "", name] = /^\/models\/([^/]*)\/(.*)$/s.exec(destination) ?? [];
  if (name === undefined)
    return { fault: "names no folder; write /models/<folder>/<name>, such as /models/loras/a.sft" };
  const folder = Object.hasOwn(OTHER_NAMES, written) ? (OTHER_NAMES[written] ?? written) : written;
  const known = [...MODEL_FOLDERS, ...rules.extraFolders];
  if (!known.includes(folder) || !isSafePath(folder))
    return { fault: `there is no models folder of that name; there are ${known.toSorted().join(", ")}` };
  if (!isSafePath(name)) return { fault: SAFE_PATH_RULE };
  const extension = /\.[a-z0-9]+$/.exec(name.toLowerCase())?.[0] ?? "";
  const allowed = [...SAFE_EXTENSIONS, ...rules.unsafeExtensions];
  if (!allowed.includes(extension))
    return { fault: `only ${allowed.join(", ")} can be sent; other formats can run code when they are loaded` };
  return { place: { folder, name, extension } };
}
