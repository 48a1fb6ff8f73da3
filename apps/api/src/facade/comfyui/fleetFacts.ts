import { comboOptions, type ObjectInfo, type SystemStats } from "@comfyq/comfyui/wire";
import { DEFAULT_POOL, type WorkerBeat } from "@comfyq/contract";
import { ApiError } from "../../errors.ts";
import type { Rooms } from "../../rooms.ts";
import type { Route } from "../../route.ts";
import { comfyRoute } from "./comfyRoute.ts";
import { featuresOf } from "./features.ts";
import type { FleetObjectInfo } from "./fleetObjectInfo.ts";

/** Where an instance says which models it has: the choices of the node that loads them. */
const LOADERS: Readonly<Record<string, readonly [nodeClass: string, input: string]>> = {
  checkpoints: ["CheckpointLoaderSimple", "ckpt_name"],
  loras: ["LoraLoader", "lora_name"],
  vae: ["VAELoader", "vae_name"],
  text_encoders: ["CLIPLoader", "clip_name"],
  diffusion_models: ["UNETLoader", "unet_name"],
  clip_vision: ["CLIPVisionLoader", "clip_name"],
  style_models: ["StyleModelLoader", "style_model_name"],
  controlnet: ["ControlNetLoader", "control_net_name"],
  gligen: ["GLIGENLoader", "gligen_name"],
  upscale_models: ["UpscaleModelLoader", "model_name"],
  hypernetworks: ["HypernetworkLoader", "hypernetwork_name"],
  photomaker: ["PhotoMakerLoader", "photomaker_model_name"],
};

/** What the fleet has and can do, as one ComfyUI would tell. */
export function fleetFactRoutes(
  rooms: Rooms,
  { objectInfo }: { readonly objectInfo: FleetObjectInfo },
): readonly Route[] {
  const get = { method: "get", scope: "read" } as const;
  return [
    ...comfyRoute({
      ...get,
      path: "/object_info",
      summary: "Every node class of the default pool's live instances, with the choices of all of them",
      run: async ({ res }) => void res.type("json").send((await objectInfo(DEFAULT_POOL)).json),
    }),
    ...comfyRoute({
      ...get,
      path: "/object_info/{node_class}",
      summary: "One node class; {} when no instance has it",
      run: async ({ res, params }) => {
        const name = params["node_class"] ?? "";
        const { classes } = await objectInfo(DEFAULT_POOL);
        res.json(Object.hasOwn(classes, name) ? { [name]: classes[name] } : {});
      },
    }),
    ...comfyRoute({
      ...get,
      path: "/models",
      summary: "Kinds of models that the default pool's instances can load",
      run: async ({ res }) => {
        const { classes } = await objectInfo(DEFAULT_POOL);
        res.json(Object.keys(LOADERS).filter((folder) => modelsIn(classes, folder) !== undefined));
      },
    }),
    ...comfyRoute({
      ...get,
      path: "/models/{folder}",
      summary: "Names of the models of one kind, of all instances together",
      run: async ({ res, params }) => {
        const { classes } = await objectInfo(DEFAULT_POOL);
        const names = modelsIn(classes, params["folder"] ?? "");
        if (!names)
          throw new ApiError("not_found", "No instance loads models of this kind; /models lists those there are");
        res.json(names);
      },
    }),
    ...comfyRoute({
      ...get,
      path: "/system_stats",
      summary: "The fleet's versions and devices",
      run: async ({ res }) => void res.json(statsOf(await rooms.producer.workers())),
    }),
    ...comfyRoute({
      ...get,
      path: "/features",
      summary: "What this server can do",
      run: ({ res }) => void res.json(featuresOf(rooms)),
    }),
  ];
}

function modelsIn(classes: ObjectInfo, folder: string): readonly string[] | undefined {
  const [nodeClass, input] = Object.hasOwn(LOADERS, folder) ? (LOADERS[folder] ?? []) : [];
  if (nodeClass === undefined || input === undefined) return undefined;
  const options = comboOptions(classes[nodeClass]?.input?.required?.[input]);
  return options?.filter((name) => typeof name === "string").toSorted();
}

/** Memory is not told: it is that of many machines, and changes as they work. */
function statsOf(workers: readonly WorkerBeat[]): SystemStats {
  const versions = workers.flatMap(({ comfyui_version }) => comfyui_version ?? []).sort();
  const oldest = versions.toSorted((a, b) => a.localeCompare(b, "en", { numeric: true }))[0];
  return {
    system: { os: process.platform, ...(oldest === undefined ? {} : { comfyui_version: oldest }), argv: [] },
    devices: workers.map(({ device }, index) => ({
      name: device ?? "unknown",
      type: /^(\w+)(?::\d+)?/.exec(device ?? "")?.[1] ?? "unknown",
      index,
    })),
  };
}
