import { API_ERRORS } from "@comfyq/contract";
import * as z from "zod";
import type { Door } from "../../door.ts";

export const CLOUD_TAG = "Comfy Cloud";

const CloudErrorBody = z.object({ code: z.string(), message: z.string() }).meta({ id: "CloudError" });

/**
 * What Comfy Cloud's API v1 has beyond ComfyUI's own, and its way to say no. All its other paths are ComfyUI's under `/api`.
 * Source: openapi-cloud.yaml of Comfy-Org/docs @ffb27fc2; reference/comfyui-protocol.md §6.1.
 */
export const CLOUD_DOOR: Door = {
  covers: (path) => /^\/api\/(?:job|history_v2|user)(?:\/|$)/.test(path),
  showError: ({ status, code, message }) => ({ status, body: { code, message } }),
  documented: { refusal: (code) => ({ status: API_ERRORS[code], code }), body: CloudErrorBody },
};
