import { ComfyError } from "./errors.ts";
import type { ConnectOptions, Dialect } from "./face.ts";
import { API_PREFIX, PATHS } from "./wire/index.ts";

/** Where a server is, and what every request to it carries. */
export interface Address {
  readonly dialect: Dialect;
  /** Scheme, host and port: safe to show, carries no credentials. */
  readonly origin: string;
  /** Sent with every request to this origin, and to no other. */
  readonly headers: Readonly<Record<string, string>>;
  /** The full URL of one of `PATHS` (or a path below it). */
  url(path: string, query?: Readonly<Record<string, string>>): URL;
  socketUrl(clientId: string): URL;
}

const CLOUD_HOST = "cloud.comfy.org";

/** @throws ComfyError `unreachable` when `url` is not an http(s) URL */
export function parseAddress({ url, apiKey, dialect }: ConnectOptions): Address {
  const base = parseBase(url);
  const chosen = dialect ?? (base.hostname === CLOUD_HOST ? "cloud" : "local");
  const headers = { ...(apiKey ? { "x-api-key": apiKey } : {}), ...basicAuth(base) };
  base.username = "";
  base.password = "";
  const prefix = base.pathname.replace(/\/+$/, "");

  function at(path: string, query: Readonly<Record<string, string>> = {}): URL {
    const full = new URL(base.origin);
    full.pathname = prefix + path;
    full.search = new URLSearchParams(query).toString();
    return full;
  }
  return {
    dialect: chosen,
    origin: base.origin,
    headers,
    url: (path, query) => at(chosen === "cloud" && !isUnderApi(path) ? API_PREFIX + path : path, query),
    socketUrl(clientId) {
      const token = chosen === "cloud" && apiKey ? { token: apiKey } : {};
      const full = at(PATHS.socket, { clientId, ...token });
      full.protocol = base.protocol === "https:" ? "wss:" : "ws:";
      return full;
    },
  };
}

function parseBase(url: string): URL {
  const base = URL.parse(url);
  if (!base || (base.protocol !== "http:" && base.protocol !== "https:")) {
    throw new ComfyError("unreachable", "The address of ComfyUI is not an http(s) URL; give it as http://host:port.");
  }
  // `localhost` may resolve to ::1 first, where ComfyUI does not listen; TLS needs the name its certificate has.
  if (base.protocol === "http:" && base.hostname === "localhost") base.hostname = "127.0.0.1";
  return base;
}

function basicAuth(base: URL): Record<string, string> {
  if (!base.username) return {};
  const pair = `${decodeURIComponent(base.username)}:${decodeURIComponent(base.password)}`;
  return { authorization: `Basic ${Buffer.from(pair).toString("base64")}` };
}

function isUnderApi(path: string): boolean {
  return path.startsWith(`${API_PREFIX}/`);
}
