import type { Door } from "../door.ts";
import { CLOUD_DOOR } from "./cloud/cloudDoor.ts";
import { COMFYUI_DOOR } from "./comfyui/comfyUiDoor.ts";
import { V2_DOOR } from "./v2/v2Door.ts";

/** Every API besides our own that says no in its own words; the first that covers a path: `/api/v2/userdata` is ComfyUI's. */
export const DOORS: readonly Door[] = [CLOUD_DOOR, COMFYUI_DOOR, V2_DOOR];
