import type { IncomingHttpHeaders } from "node:http";

/**
 * Whether a browser's request comes from another site, which ComfyUI refuses with an empty 403
 * (server.py create_origin_only_middleware). Only checked when `Host` is this machine; a missing port on either side
 * is not compared.
 */
export function isForeignOrigin(headers: IncomingHttpHeaders, refusesCrossSite: boolean): boolean {
  if (refusesCrossSite && headers["sec-fetch-site"] === "cross-site") return true;
  const { host, origin } = headers;
  if (host === undefined || origin === undefined) return false;
  const here = parse(`http://${host}`);
  const there = parse(origin);
  if (!here || !there || !isLoopback(here.name)) return false;
  const comparesPort = here.port !== "" && there.port !== "";
  return here.name !== there.name || (comparesPort && here.port !== there.port);
}

interface Place {
  readonly name: string;
  /** As it was written; a URL object drops the port 80 of http. */
  readonly port: string;
}

function parse(address: string): Place | undefined {
  const match = /^[a-z][a-z0-9+.-]*:\/\/(?<name>\[[^\]]*\]|[^:/]+)(?::(?<port>\d+))?/i.exec(address);
  const name = match?.groups?.["name"];
  return name === undefined ? undefined : { name: name.toLowerCase(), port: match?.groups?.["port"] ?? "" };
}

/** Names are not looked up here, as ComfyUI would: `localhost` and the addresses themselves are enough. */
const isLoopback = (name: string): boolean => name === "localhost" || name === "[::1]" || /^127(\.\d+){3}$/.test(name);
