import type { Features } from "@comfyq/comfyui/wire";
import type { Rooms } from "../../rooms.ts";

/** What this server can do, as `/features` and a websocket's `feature_flags` say it. */
export function featuresOf({ settings }: Pick<Rooms, "settings">): Features {
  return {
    supports_preview_metadata: true,
    max_upload_size: settings.COMFYQ_MAX_ASSET_BYTES,
    supports_model_type_tags: false,
    node_replacements: false,
    assets: false,
  };
}
