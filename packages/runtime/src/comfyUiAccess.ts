import * as z from "zod";
import { hideValue } from "./hiddenValues.ts";

/** Comfy's own cloud, which need not be named. */
const COMFY_CLOUD = "cloud.comfy.org";

/** A host as a URL names it: with its port, unless it is the scheme's own. */
const HOST = /^[\w.[\]:-]+$/;

const listed = z
  .string()
  .default("")
  .transform((text) => text.split(",").flatMap((part) => part.trim() || []));

/** Setting: hosts that speak as Comfy Cloud does. */
export const cloudHosts = listed
  .refine((hosts) => hosts.every((host) => HOST.test(host)), "hosts such as queue.example.com or 10.0.0.5:8190")
  .transform((hosts) => hosts.map((host) => host.toLowerCase()));

/** Setting: `host=key` pairs, by host. The keys are hidden from the log from here on. */
export const apiKeysByHost = listed
  .refine((pairs) => pairs.every((pair) => HOST.test(pair.split("=", 1)[0] ?? "") && /=./.test(pair)), {
    message: "host=key, comma separated, such as cloud.comfy.org=…",
  })
  .transform((pairs): ReadonlyMap<string, string> => {
    const keys = pairs.map(
      (pair) => [pair.split("=", 1)[0]?.toLowerCase() ?? "", pair.replace(/^[^=]*=/, "")] as const,
    );
    for (const [, key] of keys) hideValue(key);
    return new Map(keys);
  });

/** What says how ComfyUIs are spoken to. */
export interface ComfyUiSettings {
  readonly COMFYUI_API_KEYS: ReadonlyMap<string, string>;
  readonly COMFYUI_CLOUD_HOSTS: readonly string[];
}

/** How one ComfyUI is spoken to. */
export interface ComfyUiAccess {
  readonly dialect: "local" | "cloud";
  /** The key for its host, and for no other. */
  readonly apiKey?: string;
}

/** How the ComfyUI at this address is spoken to. A key belongs to one host: no other is ever sent it. */
export function comfyUiAccess(url: string, settings: ComfyUiSettings): ComfyUiAccess {
  const { host } = new URL(url);
  const apiKey = settings.COMFYUI_API_KEYS.get(host);
  const isCloud = host === COMFY_CLOUD || settings.COMFYUI_CLOUD_HOSTS.includes(host);
  return { dialect: isCloud ? "cloud" : "local", ...(apiKey === undefined ? {} : { apiKey }) };
}

/** Networks of one's own, and names without a dot, which no public resolver knows. */
const PRIVATE_HOST = /^(localhost|127\.|10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|\[::1\]$|\[f[cd]|[\w-]+$)/i;

/** Would a key for this address cross the open network for everybody to read? */
export function isSentInTheClear(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  return protocol === "http:" && !PRIVATE_HOST.test(hostname);
}

/** The same keys as a process is told them. */
export function writeApiKeys(keys: ReadonlyMap<string, string>): string {
  return [...keys].map(([host, key]) => `${host}=${key}`).join(",");
}
