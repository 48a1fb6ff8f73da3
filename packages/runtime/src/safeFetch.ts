import { lookup } from "node:dns/promises";
import type { Readable } from "node:stream";
import { createAddressRules } from "./addressRules.ts";
import { type Answer, type AskOptions, askOnce } from "./askOnce.ts";
import { alarm } from "./clock.ts";
import type { Resolve } from "./guardedConnect.ts";
import { limitBody } from "./limitedBody.ts";
import { followRedirect, type Hop, isRedirect } from "./redirect.ts";
import { SafeFetchError } from "./safeFetchError.ts";

/** Limits of all fetches made with one `safeFetch`. */
export interface SafeFetchOptions {
  /** Hosts that an operator opened although they are private: `minio:9000`, `10.0.0.0/8`, see `parseAllowHosts`. */
  readonly allowHosts: readonly string[];
  /** The whole fetch, its body included, in ms. */
  readonly timeoutMs: number;
  /** Longest silence, before the answer and between two pieces of its body, in ms. */
  readonly idleTimeoutMs: number;
  /** Largest body. */
  readonly maxBytes: number;
  /** Redirects that are followed, each checked like the first address. Default 3; 0: a redirect is an error. */
  readonly maxRedirects?: number;
  /** Default both. */
  readonly schemes?: readonly ("http:" | "https:")[];
  /** Ports that are open on every public host. Default 80 and 443. */
  readonly ports?: readonly number[];
  /** Default `comfyq`. */
  readonly userAgent?: string;
  /** Asks for all addresses of a name; for tests. Default: the system's resolver. */
  readonly resolve?: Resolve;
}

/** One fetch; what is left out comes from the options. */
export interface SafeFetchRequest {
  /** Default GET. */
  readonly method?: string;
  /** Host, length and connection headers are set here and nowhere else. */
  readonly headers?: Readonly<Record<string, string>>;
  /** A stream cannot follow a 307 or 308. */
  readonly body?: string | Uint8Array | Readable;
  readonly signal?: AbortSignal;
  readonly maxBytes?: number;
  readonly timeoutMs?: number;
  /** Redirects that are followed; 0 for webhooks. */
  readonly redirects?: number;
}

/** The answer: any status but a followed redirect, 404 and 500 included. */
export interface SafeFetchResponse {
  readonly status: number;
  /** Names in lower case; a header sent several times is joined by ", ". */
  readonly headers: Readonly<Record<string, string>>;
  /** The last address, after redirects. May hold a signature: show it only through `stripUrl`. */
  readonly url: string;
  /** The body as it was sent (never decompressed). Read it to its end or destroy it: it holds the connection. */
  readonly body: Readable;
  /** As declared by the server; absent when it did not say. Fewer bytes than this end the body with an error. */
  readonly sizeBytes?: number;
}

/** Fetches from an address that a customer chose. */
export type SafeFetch = (url: string | URL, request?: SafeFetchRequest) => Promise<SafeFetchResponse>;

/**
 * A fetch that may be pointed anywhere: it reaches public hosts and what the operator opened, nothing else. Checked on
 * the URL, on every DNS answer, on the connected socket, and again after each redirect; nothing is connected to before.
 * No proxy settings are used. Limits on time, silence and size hold to the end of the body.
 *
 * The fetch rejects, and the body ends, with SafeFetchError: see `SafeFetchErrorCode`.
 * @throws Error at once when an entry of allowHosts cannot be read
 */
export function createSafeFetch(options: SafeFetchOptions): SafeFetch {
  const { resolve = systemResolve } = options;
  const rules = createAddressRules(options);
  return async (url, request = {}) => {
    const timeoutMs = request.timeoutMs ?? options.timeoutMs;
    const first = firstHop(url, request, options.userAgent ?? "comfyq");
    const deadline = new AbortController();
    const clock = alarm(timeoutMs, () => deadline.abort(late(first.url, timeoutMs)));
    const signal = request.signal ? AbortSignal.any([request.signal, deadline.signal]) : deadline.signal;
    const ask = { rules, resolve, signal, idleTimeoutMs: options.idleTimeoutMs };
    try {
      const { hop, answer } = await follow(first, ask, request.redirects ?? options.maxRedirects ?? 3);
      const response = toResponse(hop, answer, { ...ask, maxBytes: request.maxBytes ?? options.maxBytes });
      response.body.on("close", () => clock.stop());
      return response;
    } catch (error) {
      clock.stop();
      throw error;
    }
  };
}

/** Headers that belong to the connection. */
const OURS = [
  "connection",
  "content-length",
  "expect",
  "host",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];

function firstHop(url: string | URL, { method, headers, body }: SafeFetchRequest, userAgent: string): Hop {
  const parsed = URL.parse(String(url));
  if (!parsed) throw new SafeFetchError("bad_url", "The URL cannot be read; write it as https://host/path");
  const theirs = Object.entries(headers ?? {}).map(([name, value]) => [name.toLowerCase(), value] as const);
  return {
    url: parsed,
    method: (method ?? "GET").toUpperCase(),
    headers: {
      accept: "*/*",
      "accept-encoding": "identity",
      "user-agent": userAgent,
      ...Object.fromEntries(theirs.filter(([name]) => !OURS.includes(name))),
    },
    ...(body === undefined ? {} : { body }),
  };
}

async function follow(first: Hop, ask: AskOptions, redirects: number): Promise<{ hop: Hop; answer: Answer }> {
  let hop = first;
  for (let followed = 0; ; followed += 1) {
    const answer = await askOnce(hop, ask).catch((error: unknown) => {
      throw followed > 0 ? afterRedirect(error, first) : error;
    });
    const { status, headers, body } = answer;
    if (!isRedirect(status, headers["location"])) return { hop, answer };
    body.destroy();
    if (followed === redirects) throw tooMany(hop, status, redirects);
    hop = followRedirect(hop, status, headers["location"]);
  }
}

function tooMany({ url }: Hop, status: number, redirects: number): SafeFetchError {
  return redirects === 0
    ? new SafeFetchError("redirect_refused", `${url.host} answered ${status}; give the address it redirects to`, {
        status,
      })
    : new SafeFetchError("too_many_redirects", `${url.host} redirects more than ${redirects} times`, { status });
}

/** A redirect to what is no web address is the redirect's fault, not that of the URL the customer wrote. */
function afterRedirect(error: unknown, first: Hop): unknown {
  if (!(error instanceof SafeFetchError) || error.code !== "bad_url") return error;
  return new SafeFetchError("redirect_refused", `${first.url.host} redirects elsewhere: ${error.message}`, {
    cause: error,
  });
}

function late(url: URL, timeoutMs: number): SafeFetchError {
  return new SafeFetchError("timed_out", `${url.host} has not sent everything within ${timeoutMs} ms`);
}

type ResponseLimits = Pick<AskOptions, "idleTimeoutMs" | "signal"> & { readonly maxBytes: number };

function toResponse(hop: Hop, answer: Answer, limits: ResponseLimits): SafeFetchResponse {
  const { status, headers, toError } = answer;
  const declared = headers["content-length"] === undefined ? undefined : Number(headers["content-length"]);
  const isBodyless = hop.method === "HEAD" || status === 204 || status === 304;
  if (declared !== undefined && declared > limits.maxBytes && !isBodyless) {
    answer.body.destroy();
    const why = `${hop.url.host} declares ${declared} bytes, more than the ${limits.maxBytes} that are allowed`;
    throw new SafeFetchError("too_large", why, { status });
  }
  const declaredBytes = isBodyless ? undefined : declared;
  return {
    status,
    headers,
    url: hop.url.href,
    body: limitBody(answer.body, { ...limits, host: hop.url.host, declaredBytes, toError }),
    ...(declared === undefined ? {} : { sizeBytes: declared }),
  };
}

async function systemResolve(host: string): Promise<readonly string[]> {
  const answers = await lookup(host, { all: true });
  return answers.map(({ address }) => address);
}
