import type { Call } from "../../route.ts";

/**
 * Does a client of Comfy Cloud ask? Its paths are ComfyUI's own, under `/api` only, and some of its answers differ. It shows its key as
 * `X-API-Key` on every call, which clients of a local ComfyUI do not (reference/comfyui-protocol.md §6.1).
 */
export function isCloudClient({ req }: Call): boolean {
  return req.path.startsWith("/api/") && req.get("x-api-key") !== undefined;
}
