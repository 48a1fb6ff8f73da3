import { hostname } from "node:os";
import { comfyUiAccess, writeApiKeys } from "@comfyq/runtime";
import type { UpSettings } from "./settings.ts";

type Addresses = Pick<UpSettings, "COMFYUI_API_KEY" | "COMFYUI_API_KEYS" | "COMFYUI_CLOUD_HOSTS"> & {
  readonly COMFYUI_URLS?: readonly string[] | undefined;
};

const hostOf = (url: string): string => new URL(url).host;

function isCloud(url: string, settings: Addresses): boolean {
  return comfyUiAccess(url, settings).dialect === "cloud";
}

/** Were they read, whatever is wrong with other settings? Then what is wrong among them can be told beside it. */
export function areAddressesRead({ value }: { readonly value: unknown }): boolean {
  const { COMFYUI_URLS, COMFYUI_CLOUD_HOSTS, COMFYUI_API_KEYS }: Partial<Addresses> = Object(value);
  return Array.isArray(COMFYUI_URLS) && Array.isArray(COMFYUI_CLOUD_HOSTS) && COMFYUI_API_KEYS instanceof Map;
}

/** Whose key COMFYUI_API_KEY is: the only cloud's, or the only host's. Undefined when it cannot be told: then it goes nowhere. */
export function hostOfLoneKey(settings: Addresses): string | undefined {
  const urls = settings.COMFYUI_URLS ?? [];
  const clouds = new Set(urls.filter((url) => isCloud(url, settings)).map(hostOf));
  const hosts = new Set(urls.map(hostOf));
  return [clouds, hosts]
    .find(({ size }) => size === 1)
    ?.values()
    .next().value;
}

/** Addresses that stand there twice, and are not a cloud's: one worker drives a ComfyUI. */
export function repeatedAddresses(settings: Addresses): readonly string[] {
  const urls = settings.COMFYUI_URLS ?? [];
  return urls.filter((url, at) => urls.indexOf(url) < at && !isCloud(url, settings));
}

/** What each worker is told of its ComfyUI, and of the keys of all: it may have to stop a dead worker's prompt elsewhere. */
export function workerEnvs(
  urls: readonly string[],
  settings: UpSettings,
): readonly Readonly<Record<string, string | undefined>>[] {
  const { COMFYUI_API_KEY: loneKey, COMFYUI_API_KEYS: keys, COMFYQ_OVERFLOW_AFTER_S: overflowSeconds } = settings;
  const host = hostOfLoneKey(settings);
  const known = loneKey === undefined || host === undefined ? keys : new Map([[host, loneKey], ...keys]);
  return urls.map((url, at) => ({
    COMFYUI_URL: url,
    COMFYUI_API_KEYS: writeApiKeys(known),
    COMFYQ_OVERFLOW_AFTER_S: isCloud(url, settings) ? String(overflowSeconds) : "0",
    // Its name is made of its address, which several workers of a cloud share.
    COMFYQ_WORKER_ID: urls.indexOf(url) < at ? `${hostname().replaceAll(/[^\w.-]/g, "-")}-worker-${at + 1}` : undefined,
  }));
}
