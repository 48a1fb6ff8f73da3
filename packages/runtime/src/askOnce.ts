import type { Readable } from "node:stream";
import { Client, type Dispatcher } from "undici";
import { type AddressRules, targetOf } from "./addressRules.ts";
import { alarm } from "./clock.ts";
import { addressRefused, guardedConnect, type Resolve } from "./guardedConnect.ts";
import type { Hop } from "./redirect.ts";
import { SafeFetchError } from "./safeFetchError.ts";

/** What asking needs besides the request itself. */
export interface AskOptions {
  readonly rules: AddressRules;
  readonly resolve: Resolve;
  /** Longest silence before the answer begins. */
  readonly idleTimeoutMs: number;
  /** Ends the request and the body at any time. */
  readonly signal: AbortSignal;
}

/** One server's answer, its body not yet read. */
export interface Answer {
  readonly status: number;
  /** Names in lower case; a header sent several times is joined by ", ". */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Readable;
  readonly toError: (error: unknown) => SafeFetchError;
}

/**
 * Sends one request over a connection of its own, which ends with the body. No redirects, no reuse, no proxy.
 * @throws SafeFetchError; the connection is closed then
 */
export async function askOnce(hop: Hop, { rules, resolve, idleTimeoutMs, signal }: AskOptions): Promise<Answer> {
  const refusal = rules.refuseUrl(hop.url);
  if (refusal) throw addressRefused(refusal, targetOf(hop.url));
  const silence = new AbortController();
  const either = AbortSignal.any([signal, silence.signal]);
  const toError = (error: unknown): SafeFetchError => explain(either.aborted ? either.reason : error, hop.url, either);
  const patience = alarm(idleTimeoutMs, () => silence.abort(silent(hop.url, idleTimeoutMs)));
  const client = new Client(hop.url.origin, {
    connect: guardedConnect({ url: hop.url, rules, resolve, timeoutMs: idleTimeoutMs }),
    // Ours are finer than undici's own clocks, whose steps are half a second.
    headersTimeout: 0,
    bodyTimeout: 0,
    allowH2: false,
    pipelining: 0, // no keep-alive: each connection serves the one request whose address was checked
  });
  try {
    const answer = await client.request(requestOf(hop, either));
    answer.body.on("error", () => undefined).on("close", () => void client.destroy());
    return { status: answer.statusCode, headers: flat(answer.headers), body: answer.body, toError };
  } catch (error) {
    void client.destroy();
    throw toError(error);
  } finally {
    patience.stop();
  }
}

function requestOf({ url, method, headers, body }: Hop, signal: AbortSignal): Dispatcher.RequestOptions {
  return {
    path: `${url.pathname}${url.search}`,
    method: method as Dispatcher.HttpMethod, // undici refuses what is no method
    headers,
    body: body ?? null,
    signal,
  };
}

function flat(headers: Readonly<Record<string, string | string[] | undefined>>): Readonly<Record<string, string>> {
  const entries = Object.entries(headers).filter(([, value]) => value !== undefined);
  return Object.fromEntries(
    entries.map(([name, value]) => [name, Array.isArray(value) ? value.join(", ") : `${value}`]),
  );
}

function silent(url: URL, idleTimeoutMs: number): SafeFetchError {
  return new SafeFetchError("idle", `${url.host} has sent nothing for ${idleTimeoutMs} ms`);
}

/** Our error for whatever ended the request; the message says nothing of what the server sent. */
function explain(error: unknown, url: URL, signal: AbortSignal): SafeFetchError {
  if (error instanceof SafeFetchError) return error;
  if (signal.aborted) return new SafeFetchError("aborted", `fetching from ${url.host} was aborted`, { cause: error });
  const code = codeOf(error);
  const why = code ? ` (${code})` : "";
  // A parser's error carries the bytes that it could not parse, which may be another protocol's banner.
  const cause = code?.startsWith("HPE_") ? new Error("the answer is not HTTP") : error;
  return new SafeFetchError(
    "unreachable",
    `${url.host} cannot be fetched from${why}; is it up and is its name right?`,
    {
      cause,
    },
  );
}

/** System and undici errors carry a code; an AggregateError (several addresses tried) carries it inside. */
function codeOf(error: unknown): string | undefined {
  if (error instanceof AggregateError && error.errors.length > 0) return codeOf(error.errors[0]);
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}
