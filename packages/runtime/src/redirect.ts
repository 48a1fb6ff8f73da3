import type { Readable } from "node:stream";
import { SafeFetchError } from "./safeFetchError.ts";

/** One request of a chain of redirects. */
export interface Hop {
  readonly url: URL;
  readonly method: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array | Readable;
}

/** Headers that go along to another origin; whatever else the caller set may be a credential. */
const HARMLESS = ["accept", "accept-encoding", "accept-language", "content-type", "if-range", "range", "user-agent"];

/** Whether the answer asks to go elsewhere. Without a Location it is an answer like any other. */
export function isRedirect(status: number, location: string | undefined): location is string {
  return location !== undefined && [301, 302, 303, 307, 308].includes(status);
}

/**
 * The request that a redirect asks for, by RFC 9110 §15.4 and as browsers do it: 303, and 301 or 302 after a POST, become
 * a GET without body. Another origin gets no credentials.
 * @throws SafeFetchError `redirect_refused` when Location is no URL, or a body that was a stream would be needed again
 */
export function followRedirect(hop: Hop, status: number, location: string): Hop {
  const url = URL.parse(location, hop.url.href);
  if (!url) throw refuse(hop, status, "redirects to something that is no URL");
  const becomesGet = status === 303 ? hop.method !== "HEAD" : status < 303 && hop.method === "POST";
  const isSameOrigin = url.origin === hop.url.origin;
  const headers = Object.entries(hop.headers)
    .filter(([name]) => isSameOrigin || HARMLESS.includes(name))
    .filter(([name]) => !(becomesGet && name.startsWith("content-")));
  if (becomesGet || hop.body === undefined) {
    return { url, method: becomesGet ? "GET" : hop.method, headers: Object.fromEntries(headers) };
  }
  if (typeof hop.body !== "string" && !(hop.body instanceof Uint8Array)) {
    throw refuse(hop, status, "redirects a body that was sent as a stream and cannot be sent again");
  }
  return { url, method: hop.method, headers: Object.fromEntries(headers), body: hop.body };
}

function refuse(hop: Hop, status: number, why: string): SafeFetchError {
  return new SafeFetchError("redirect_refused", `${hop.url.host} answered ${status} and ${why}`, { status });
}
