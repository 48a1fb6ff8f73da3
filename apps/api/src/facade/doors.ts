import type { Door } from "../door.ts";
import { CLOUD_DOOR } from "./cloud/cloudDoor.ts";
import { COMFYUI_DOOR } from "./comfyui/comfyUiDoor.ts";
import { V2_DOOR } from "./v2/v2Door.ts";

/** Every API besides our own that says no in its own words. */
export const DOORS: readonly Door[] = [V2_DOOR, CLOUD_DOOR, COMFYUI_DOOR];
