import type { IncomingMessage } from "node:http";
import type { NextFunction, Request, Response } from "express";
import { ApiError, quoted } from "../errors.ts";

/** True for names and addresses that only this machine can reach. */
export function isLoopbackHost(host: string): boolean {
  const bare = host.replace(/^\[(.*)\]$/, "$1").toLowerCase();
  return bare === "localhost" || bare === "::1" || /^127(?:\.\d{1,3}){3}$/.test(bare);
}

/** True when a page of another origin sends this: a browser always says so for requests that may change something. */
export function isCrossOrigin({ headers }: IncomingMessage): boolean {
  const { origin } = headers;
  if (origin !== undefined) return URL.parse(origin)?.host !== headers.host;
  const site = headers["sec-fetch-site"];
  return site !== undefined && site !== "same-origin" && site !== "none";
}

/**
 * Guards an API that asks for no key. Any web page may make its visitor's browser send requests to 127.0.0.1, and, with a
 * name of its own that resolves there (DNS rebinding), read the answers. So the host must be this machine or the public
 * URL, and changes must not come from another origin.
 * @param isOpen does the API ask for no key at this moment?
 */
export function localGuard(isOpen: () => boolean, publicUrl: string | undefined) {
  return (req: Request, _res: Response, next: NextFunction): void => {
    if (isOpen()) {
      refuseForeignHost(req, publicUrl);
      if (req.method !== "GET" && req.method !== "HEAD") refuseForeignPage(req);
    }
    next();
  };
}

/** @throws ApiError `forbidden` when the request came by a name that is not this machine's */
export function refuseForeignHost({ headers }: IncomingMessage, publicUrl: string | undefined): void {
  const publicHost = publicUrl === undefined ? undefined : new URL(publicUrl).host;
  const { host = "" } = headers;
  const name = URL.parse(`http://${host}`)?.hostname ?? "";
  if (host === publicHost || isLoopbackHost(name)) return;
  throw new ApiError(
    "forbidden",
    `Without API keys only this machine is served, and ${quoted(host)} is not one of its names; make a key, or set COMFYQ_PUBLIC_URL`,
  );
}

/** @throws ApiError `forbidden` when a page of another origin sends it */
export function refuseForeignPage(req: IncomingMessage): void {
  if (!isCrossOrigin(req)) return;
  throw new ApiError("forbidden", "Without API keys web pages of another origin may change nothing here; make a key");
}
