import { sha256Hex, stripUrl } from "@comfyq/runtime";

/** A source as it may be kept and compared: signed addresses of one file differ in their query only. */
export function sourceName(url: string): string {
  if (url.startsWith("data:")) return `data:${sha256Hex(url)}`;
  return url.startsWith("asset:") ? url : stripUrl(url);
}
