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
  const toError = (error: unknown): SafeFetchError => explain(signal.aborted ? signal.reason : error, hop.url, signal);
  const client = new Client(hop.url.origin, {
    connect: guardedConnect({ url: hop.url, rules, resolve, timeoutMs: idleTimeoutMs }),
    // Ours are finer than undici's own clocks, whose steps are half a second.
    headersTimeout: 0,
    bodyTimeout: 0,
    allowH2: false,
    pipelining: 0, // no keep-alive: each connection serves the one request whose address was checked
  });
  // Not undici's own `signal`: that one is not heard while the name is looked up and the connection made.
  const end = (error: SafeFetchError): void => void client.destroy(error);
  const onAbort = (): void => end(toError(signal.reason));
  const close = (): void => {
    signal.removeEventListener("abort", onAbort);
    void client.destroy();
  };
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  const patience = alarm(idleTimeoutMs, () => end(silent(hop.url, idleTimeoutMs)));
  try {
    const answer = await client.request(requestOf(hop));
    answer.body.on("error", () => undefined).on("close", close);
    return { status: answer.statusCode, headers: flat(answer.headers), body: answer.body, toError };
  } catch (error) {
    close();
    throw toError(error);
  } finally {
    patience.stop();
  }
}

function requestOf({ url, method, headers, body }: Hop): Dispatcher.RequestOptions {
  return {
    path: `${url.pathname}${url.search}`,
    method: method as Dispatcher.HttpMethod, // undici refuses what is no method
    headers,
    body: body ?? null,
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
  // undici's HTTPParserError carries the bytes that it could not parse, which may be another protocol's banner.
  const cause = error instanceof Error && "data" in error ? new Error(`${error.name}: ${error.message}`) : error;
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
