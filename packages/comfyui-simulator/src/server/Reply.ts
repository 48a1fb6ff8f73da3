import { toJson } from "./toJson.ts";

/** An answer, before it is written: so that a fault can still replace it. */
export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | { readonly path: string; readonly start: number; readonly end: number };
}

const NOTHING = new Uint8Array();

export const json = (value: unknown, status = 200): Reply => ({
  status,
  headers: { "Content-Type": "application/json; charset=utf-8" },
  body: Buffer.from(toJson(value)),
});

/** aiohttp's answer without content. */
export const empty = (status = 200): Reply => ({
  status,
  headers: { "Content-Type": "application/octet-stream" },
  body: NOTHING,
});

export const text = (body: string, status = 200): Reply => ({
  status,
  headers: { "Content-Type": "text/plain; charset=utf-8" },
  body: Buffer.from(body),
});

export const bytes = (body: Uint8Array, headers: Readonly<Record<string, string>>): Reply => ({
  status: 200,
  headers,
  body,
});

/** What any Python exception in a handler becomes (aiohttp web_protocol.py). */
export const internalError = (): Reply => text("500 Internal Server Error\n\nServer got itself in trouble", 500);

export const notFound = (): Reply => text("404: Not Found", 404);

export const methodNotAllowed = (allowed: readonly string[]): Reply => ({
  ...text("405: Method Not Allowed", 405),
  headers: { "Content-Type": "text/plain; charset=utf-8", Allow: allowed.join(",") },
});
