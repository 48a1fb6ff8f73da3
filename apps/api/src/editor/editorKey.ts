import type { IncomingMessage } from "node:http";
import { isCrossOrigin } from "../auth/loopback.ts";
import type { ApiSettings } from "../config.ts";

const COOKIE = "comfyq_key";

/**
 * The key that a browser shows since somebody gave it on our page; never to a page of another origin, which could make the browser
 * ask, too.
 */
export function cookieKey(req: IncomingMessage): string | undefined {
  if (isCrossOrigin(req)) return undefined;
  const pairs = (req.headers.cookie ?? "").split(/; */).map((pair) => pair.split("="));
  const [, value] = pairs.find(([name]) => name === COOKIE) ?? [];
  return value && /^[\w-]+$/.test(value) ? value : undefined;
}

/** Is it the editor in a browser that asks? With keys it has the cookie; without, it is on this machine, where browsers say which page asks. */
export function isEditor(
  req: IncomingMessage,
  { COMFYQ_EDITOR_DIR: dir }: Pick<ApiSettings, "COMFYQ_EDITOR_DIR">,
): boolean {
  return dir !== undefined && (cookieKey(req) !== undefined || req.headers["sec-fetch-site"] === "same-origin");
}

/** `Set-Cookie` for it: no script can read it, other sites' requests do not carry it, and it goes with the browser's session. */
export function keyCookie(key: string, publicUrl: string | undefined): string {
  const lasts = key === "" ? "; Max-Age=0" : "";
  const isSecure = publicUrl?.startsWith("https:") === true;
  return `${COOKIE}=${key}; Path=/; HttpOnly; SameSite=Strict${isSecure ? "; Secure" : ""}${lasts}`;
}
