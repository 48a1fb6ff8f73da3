import { sha256Hex } from "@comfyq/runtime";

/**
 * A source as it may be kept and compared: without query and credentials, which are secrets in part and differ between
 * signed addresses of one file.
 */
export function sourceName(url: string): string {
  if (url.startsWith("data:")) return `data:${sha256Hex(url)}`;
  const { protocol, host, pathname } = new URL(url);
  return host === "" ? `${protocol}${pathname}` : `${protocol}//${host}${pathname}`;
}
