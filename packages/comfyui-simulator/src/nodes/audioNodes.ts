import { encodeFlac } from "../media/encodeFlac.ts";
import { encodeGlb } from "../media/encodeGlb.ts";
import { float, int, link, newCombo, string } from "./declare.ts";
import { checkInputFile, SAVE_HIDDEN, temporaryPrefix } from "./imageFileNodes.ts";
import type { NodeClass } from "./NodeClass.ts";
import { numberOf, take, textOf } from "./values.ts";

/** Sound and three-dimensional things (comfy_extras/nodes_audio.py, nodes_hunyuan3d.py, nodes_load_3d.py). */
export const AUDIO_NODES: readonly NodeClass[] = [
  {
    name: "EmptyAudio",
    displayName: "Empty Audio",
    category: "audio",
    pythonModule: "comfy_extras.nodes_audio",
    inputs: () => ({
      required: {
        duration: float(60, { min: 0, max: 3600, step: 0.01 }),
        sample_rate: int(44100, { min: 1, max: 192000 }),
        channels: int(2, { min: 1, max: 2 }),
      },
    }),
    outputs: ["AUDIO"],
    run: ({ duration, sample_rate }) => ({
      outputs: [{ kind: "audio", seconds: numberOf(duration), sampleRate: numberOf(sample_rate) }],
    }),
  },
  {
    name: "LoadAudio",
    displayName: "Load Audio",
    category: "audio",
    pythonModule: "comfy_extras.nodes_audio",
    inputs: (folders) => ({ required: { audio: newCombo(folders.inputNames()) } }),
    outputs: ["AUDIO"],
    validation: { inputs: ["audio"], check: ({ audio }, folders) => checkInputFile("audio", audio, folders) },
    fingerprint: ({ audio }, folders) => folders.hashOf(folders.locate(textOf(audio))),
    run: () => ({ outputs: [{ kind: "audio", seconds: 1, sampleRate: 44100 }] }),
  },
  {
    name: "SaveAudio",
    displayName: "Save Audio (FLAC)",
    category: "audio",
    pythonModule: "comfy_extras.nodes_audio",
    inputs: () => ({
      required: { audio: link("AUDIO"), filename_prefix: string("audio/ComfyUI") },
      hidden: SAVE_HIDDEN,
    }),
    outputs: [],
    isOutput: true,
    run: async ({ audio, filename_prefix }, { files }) => {
      const file = encodeFlac(take(audio, "audio"));
      const request = { prefix: textOf(filename_prefix), type: "output", extension: ".flac", ending: "" } as const;
      return { ui: { audio: await files.save(request, [file]) } };
    },
  },
  {
    name: "PreviewAudio",
    displayName: "Preview Audio",
    category: "audio",
    pythonModule: "comfy_extras.nodes_audio",
    inputs: () => ({ required: { audio: link("AUDIO") }, hidden: SAVE_HIDDEN }),
    outputs: [],
    isOutput: true,
    run: async ({ audio }, { files }) => {
      const file = encodeFlac(take(audio, "audio"));
      const request = { prefix: temporaryPrefix(), type: "temp", extension: ".flac", ending: "" } as const;
      return { ui: { audio: await files.save(request, [file]) } };
    },
  },
];

/** See {@link AUDIO_NODES}. */
export const MESH_NODES: readonly NodeClass[] = [
  {
    name: "VoxelToMeshBasic",
    category: "3d",
    pythonModule: "comfy_extras.nodes_hunyuan3d",
    inputs: () => ({
      required: { voxel: link("VOXEL,LATENT"), threshold: float(0.6, { min: -1, max: 1, step: 0.01 }) },
    }),
    outputs: ["MESH"],
    run: ({ voxel }) => ({ outputs: [{ kind: "mesh", title: take(voxel, "latent").text }] }),
  },
  {
    name: "SaveGLB",
    category: "3d",
    pythonModule: "comfy_extras.nodes_hunyuan3d",
    inputs: () => ({
      required: { mesh: link("MESH"), filename_prefix: string("mesh/ComfyUI") },
      hidden: SAVE_HIDDEN,
    }),
    outputs: [],
    isOutput: true,
    run: async ({ mesh, filename_prefix }, { files }) => {
      const request = { prefix: textOf(filename_prefix), type: "output", extension: ".glb" } as const;
      return { ui: { "3d": await files.save(request, [encodeGlb(take(mesh, "mesh").title)]) } };
    },
  },
  {
    name: "Preview3D",
    displayName: "Preview 3D",
    category: "3d",
    pythonModule: "comfy_extras.nodes_load_3d",
    inputs: () => ({
      required: { model_file: string() },
      optional: { camera_info: link("LOAD3D_CAMERA"), bg_image: link("IMAGE") },
    }),
    outputs: [],
    isOutput: true,
    // Strings and null, not file objects: that is what this node shows.
    run: ({ model_file }) => ({ ui: { result: [textOf(model_file), null, null] } }),
  },
];
