import { isComfyError } from "@comfyq/comfyui";
import type { WorkerConfig } from "../config.ts";

/** Why a ComfyUI that answers could not be asked what it is, and what its operator can do. */
export function whyUnknown(cause: unknown, { instanceName, COMFYUI_API_KEYS }: WorkerConfig): string {
  const why = cause instanceof Error ? cause.message : "no error was given";
  const known = `ComfyUI answers, but could not be asked what it is: ${why}`;
  if (!isComfyError(cause, "unauthorized")) return known;
  const { host } = new URL(instanceName);
  return COMFYUI_API_KEYS.has(host)
    ? `${known} The key that this worker was given for ${host} is refused; correct it`
    : `${known} This worker was given no key for ${host}; set COMFYUI_API_KEY, or COMFYUI_API_KEYS with ${host}=<key>`;
}
