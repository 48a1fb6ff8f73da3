import { AUDIO_NODES, MESH_NODES } from "./audioNodes.ts";
import { CONDITIONING_NODES } from "./conditioningNodes.ts";
import { IMAGE_FILE_NODES } from "./imageFileNodes.ts";
import { IMAGE_NODES } from "./imageNodes.ts";
import { LOADER_NODES } from "./loaderNodes.ts";
import { MASK_NODES } from "./maskNodes.ts";
import type { NodeClass } from "./NodeClass.ts";
import { SAMPLER_NODES } from "./samplerNodes.ts";
import { SIMULATOR_NODES } from "./simulatorNodes.ts";
import { TEXT_NODES } from "./textNodes.ts";
import { VIDEO_NODES } from "./videoNodes.ts";

/** Every node class that the simulator has unless told otherwise. */
export const ALL_NODES: readonly NodeClass[] = [
  ...LOADER_NODES,
  ...CONDITIONING_NODES,
  ...SAMPLER_NODES,
  ...IMAGE_NODES,
  ...IMAGE_FILE_NODES,
  ...MASK_NODES,
  ...VIDEO_NODES,
  ...AUDIO_NODES,
  ...MESH_NODES,
  ...TEXT_NODES,
  ...SIMULATOR_NODES,
];
