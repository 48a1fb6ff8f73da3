import type { InputDeclaration } from "@comfyq/comfyui/wire";
import type { NodeContext } from "../engine/NodeContext.ts";
import { encodeSafetensors } from "../media/encodeSafetensors.ts";
import type { Picture } from "../pictures/Picture.ts";
import { paintScene } from "../pictures/paint.ts";
import { textFor } from "./conditioningNodes.ts";
import { float, int, link, newCombo, SEED, string } from "./declare.ts";
import { metadataOf, SAVE_HIDDEN } from "./imageFileNodes.ts";
import type { NodeClass, NodeInputs, NodeResult } from "./NodeClass.ts";
import { images, type Latent, numberOf, take, textOf } from "./values.ts";

/** More than twenty: a wrong one is reported by the list's length only (reference/comfyui-protocol.md §1.1). */
const SAMPLERS =
  "euler euler_cfg_pp euler_ancestral euler_ancestral_cfg_pp heun heunpp2 dpm_2 dpm_2_ancestral lms dpm_fast dpm_adaptive dpmpp_2s_ancestral dpmpp_sde dpmpp_sde_gpu dpmpp_2m dpmpp_2m_cfg_pp dpmpp_2m_sde dpmpp_2m_sde_gpu dpmpp_3m_sde dpmpp_3m_sde_gpu ddpm lcm ipndm ipndm_v deis res_multistep gradient_estimation er_sde ddim uni_pc uni_pc_bh2".split(
    " ",
  );
const SCHEDULERS = "simple sgm_uniform karras exponential ddim_uniform beta normal linear_quadratic kl_optimal".split(
  " ",
);

const STEPS: InputDeclaration = int(20, { min: 1, max: 10000 });
const CFG: InputDeclaration = float(8, { min: 0, max: 100, step: 0.1 });

const CONDITIONS = {
  positive: link("CONDITIONING"),
  negative: link("CONDITIONING"),
  latent_image: link("LATENT"),
} as const;

/** Frames are drawn smaller than single pictures, because there are many of them. */
const FRAME_EDGE = 160;
/** As small as latents are: that is what previews are made from. */
const PREVIEW_EDGE = 64;

/** What a sampled latent decodes to; a video's frames differ by `frame`. */
function pictureOf(latent: Latent, frame: number): Picture {
  const { caption, length } = latent;
  if (length === 1) return paintScene(latent);
  const counted = `${caption}, ${frame + 1} of ${length}`;
  return paintScene({ ...latent, caption: counted, shift: frame * 3, edge: FRAME_EDGE });
}

/** What a latent looks like on the way, `left` going from 1 to 0. */
const previewOf = (latent: Latent, left: number): Picture =>
  paintScene({ ...latent, text: "", caption: "", noise: 0.6 * left, edge: PREVIEW_EDGE });

interface Sampling {
  readonly model: unknown;
  readonly positive: unknown;
  readonly latent: unknown;
  readonly seed: number;
  readonly steps: number;
}

async function sample({ model, positive, latent, seed, steps }: Sampling, context: NodeContext): Promise<NodeResult> {
  const { name } = take(model, "model");
  const caption = `seed ${seed}, ${steps} steps, ${name}`;
  const sampled: Latent = { ...take(latent, "latent"), text: textFor(positive), seed, caption };
  await context.useModel(name);
  const bar = context.progressBar(steps);
  for (let step = 1; step <= steps; step++) {
    await context.wait(context.stepMs);
    bar.update(step, context.previews ? previewOf(sampled, 1 - step / steps) : undefined);
  }
  return { outputs: [sampled] };
}

const decode = ({ samples }: NodeInputs): NodeResult => {
  const latent = take(samples, "latent");
  return { outputs: [images(Array.from({ length: latent.length }, (_, frame) => pictureOf(latent, frame)))] };
};

/** Samplers and what turns latents into pictures and back (nodes.py). */
export const SAMPLER_NODES: readonly NodeClass[] = [
  {
    name: "KSampler",
    category: "sampling",
    inputs: () => ({
      required: {
        model: link("MODEL"),
        seed: SEED,
        steps: STEPS,
        cfg: CFG,
        sampler_name: [SAMPLERS, {}],
        scheduler: [SCHEDULERS, {}],
        ...CONDITIONS,
        denoise: float(1, { min: 0, max: 1, step: 0.01 }),
      },
    }),
    outputs: ["LATENT"],
    run: ({ model, positive, latent_image, seed, steps }, context) =>
      sample({ model, positive, latent: latent_image, seed: numberOf(seed), steps: numberOf(steps) }, context),
  },
  {
    name: "KSamplerAdvanced",
    displayName: "KSampler (Advanced)",
    category: "sampling",
    inputs: () => ({
      required: {
        model: link("MODEL"),
        add_noise: [["enable", "disable"]],
        noise_seed: SEED,
        steps: STEPS,
        cfg: CFG,
        sampler_name: [SAMPLERS],
        scheduler: [SCHEDULERS],
        ...CONDITIONS,
        start_at_step: int(0, { min: 0, max: 10000 }),
        end_at_step: int(10000, { min: 0, max: 10000 }),
        return_with_leftover_noise: [["disable", "enable"]],
      },
    }),
    outputs: ["LATENT"],
    run: ({ model, positive, latent_image, noise_seed, steps, start_at_step, end_at_step }, context) => {
      const last = Math.min(numberOf(steps), numberOf(end_at_step));
      const count = Math.max(1, last - numberOf(start_at_step));
      return sample({ model, positive, latent: latent_image, seed: numberOf(noise_seed), steps: count }, context);
    },
  },
  {
    name: "VAEDecode",
    category: "latent",
    inputs: () => ({ required: { samples: link("LATENT"), vae: link("VAE") } }),
    outputs: ["IMAGE"],
    run: decode,
  },
  {
    name: "VAEDecodeTiled",
    category: "_for_testing",
    inputs: () => ({
      required: {
        samples: link("LATENT"),
        vae: link("VAE"),
        tile_size: int(512, { min: 64, max: 4096, step: 32 }),
        overlap: int(64, { min: 0, max: 4096, step: 32 }),
        temporal_size: int(64, { min: 8, max: 4096, step: 4 }),
        temporal_overlap: int(8, { min: 4, max: 4096, step: 4 }),
      },
    }),
    outputs: ["IMAGE"],
    run: decode,
  },
  {
    name: "VAEEncode",
    category: "latent",
    inputs: () => ({ required: { pixels: link("IMAGE"), vae: link("VAE") } }),
    outputs: ["LATENT"],
    run: ({ pixels }) => {
      const { pictures } = take(pixels, "images");
      const { width, height } = pictures[0];
      const latent: Latent = { kind: "latent", width, height, length: pictures.length, text: "", seed: 0, caption: "" };
      return { outputs: [latent] };
    },
  },
  {
    name: "ImageUpscaleWithModel",
    category: "image/upscaling",
    pythonModule: "comfy_extras.nodes_upscale_model",
    inputs: () => ({ required: { upscale_model: link("UPSCALE_MODEL"), image: link("IMAGE") } }),
    outputs: ["IMAGE"],
    run: async ({ upscale_model, image }, context) => {
      await context.useModel(take(upscale_model, "model").name);
      await context.wait(context.stepMs);
      const { pictures } = take(image, "images");
      return {
        outputs: [
          images(pictures.map((picture) => ({ ...picture, width: picture.width * 4, height: picture.height * 4 }))),
        ],
      };
    },
  },
  {
    name: "SaveLatent",
    category: "_for_testing",
    inputs: () => ({
      required: { samples: link("LATENT"), filename_prefix: string("latents/ComfyUI") },
      hidden: SAVE_HIDDEN,
    }),
    outputs: [],
    isOutput: true,
    run: async ({ samples, filename_prefix }, context) => {
      const { width, height, length } = take(samples, "latent");
      const shape = [length, 4, Math.ceil(height / 8), Math.ceil(width / 8)];
      const file = encodeSafetensors(shape, Object.fromEntries(metadataOf(context)));
      const request = { prefix: textOf(filename_prefix), type: "output", extension: ".latent" } as const;
      return { ui: { latents: await context.files.save(request, [file]) } };
    },
  },
  {
    name: "KSamplerSelect",
    category: "sampling/custom_sampling/samplers",
    pythonModule: "comfy_extras.nodes_custom_sampler",
    inputs: () => ({ required: { sampler_name: newCombo(SAMPLERS) } }),
    outputs: ["SAMPLER"],
    run: ({ sampler_name }) => ({ outputs: [{ kind: "model", name: textOf(sampler_name) }] }),
  },
];
