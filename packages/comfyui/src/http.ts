import type { Readable } from "node:stream";
import { Agent, type Dispatcher, request } from "undici";
import type { ZodType } from "zod";
import type { Address } from "./address.ts";
import { ComfyError, type ComfyErrorCode } from "./errors.ts";
import type { FetchElsewhere } from "./files.ts";
import { parseJson } from "./wire/index.ts";

/** One request. `path` is one of `PATHS`, or below it. */
export interface Call {
  readonly method: "GET" | "HEAD" | "POST";
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly json?: unknown;
  readonly body?: Readable | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
  /** Longest wait for the whole answer, or for its head when it is streamed. */
  readonly timeoutMs?: number | undefined;
}

/** A whole answer, of any status. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

/** An answer whose body has yet to be read, to its end or not at all. */
export interface StreamedAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Readable;
}

/** HTTP to one server. All methods throw ComfyError `unreachable` | `busy` | `closed`, or the caller's abort reason. */
export interface Http {
  /** Any status is an answer. */
  send(call: Call): Promise<Answer>;
  /** A 2xx whose body has this shape. @throws ComfyError by status, or `protocol` when the shape is another */
  read<T>(schema: ZodType<T>, call: Call): Promise<T>;
  /** Any status is an answer, except redirects, which are followed; our headers stay with our origin. */
  stream(call: Call): Promise<StreamedAnswer>;
  /** Aborted when the client is closed; its reason is a ComfyError `closed`. */
  readonly closed: AbortSignal;
  close(): Promise<void>;
}

interface Target {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
}

const MAX_REDIRECTS = 3;

/** Of calls that name none, and of the silence within a streamed answer; in ms. */
interface Limits {
  readonly requestTimeoutMs: number;
  readonly idleMs: number;
  readonly fetchElsewhere?: FetchElsewhere;
}

/** Opens nothing until the first call. */
export function createHttp(address: Address, limits: Limits): Http {
  return new AgentHttp(address, limits);
}

class AgentHttp implements Http {
  readonly #address: Address;
  readonly #requestTimeoutMs: number;
  readonly #fetchElsewhere: FetchElsewhere | undefined;
  readonly #closing = new AbortController();
  readonly #agent: Agent;

  constructor(address: Address, { requestTimeoutMs, idleMs, fetchElsewhere }: Limits) {
    this.#address = address;
    this.#fetchElsewhere = fetchElsewhere;
    this.#requestTimeoutMs = requestTimeoutMs;
    this.#agent = new Agent({
      connect: { timeout: 5_000 },
      headersTimeout: 0, // each call brings its own deadline
      bodyTimeout: idleMs, // for streams: no time passes while their reader does not read
    });
  }

  get closed(): AbortSignal {
    return this.#closing.signal;
  }

  async send(call: Call): Promise<Answer> {
    const deadline = AbortSignal.timeout(call.timeoutMs ?? this.#requestTimeoutMs);
    return this.#guarded(call, deadline, async () => {
      const answer = await this.#dispatch(call, this.#target(call), deadline);
      return { status: answer.statusCode, headers: answer.headers, text: await answer.body.text() };
    });
  }

  async read<T>(schema: ZodType<T>, call: Call): Promise<T> {
    const answer = await this.send(call);
    const what = this.#name(call);
    if (answer.status < 200 || answer.status > 299) throw errorOfStatus(answer, what);
    return parseBody(schema, answer.text, what);
  }

  async stream(call: Call): Promise<StreamedAnswer> {
    let target = this.#target(call);
    for (let hop = 0; ; hop += 1) {
      const answer = await this.#streamOnce(call, target);
      const location = answer.status >= 300 && answer.status < 400 ? answer.headers["location"] : undefined;
      if (typeof location !== "string") return answer;
      answer.body.on("error", () => {}).destroy();
      if (hop === MAX_REDIRECTS) throw new ComfyError("protocol", `${this.#name(call)} redirects in circles.`);
      const url = redirected(location, target.url, this.#name(call));
      const fetchIt = this.#fetchElsewhere;
      if (fetchIt && url.origin !== this.#address.origin) return this.#elsewhere(call, url, fetchIt);
      // Comfy Cloud redirects to a signed URL on another host, which must never see the key (§6.1).
      target = { url, headers: {} };
    }
  }

  async close(): Promise<void> {
    const message = `The connection to ComfyUI at ${this.#address.origin} was closed by us.`;
    this.#closing.abort(new ComfyError("closed", message));
    await this.#agent.destroy();
  }

  /** By the rules of whoever gave us the way; only what the call itself brought goes along. */
  async #elsewhere(call: Call, url: URL, fetchIt: FetchElsewhere): Promise<StreamedAnswer> {
    const signal = call.signal ? AbortSignal.any([this.closed, call.signal]) : this.closed;
    try {
      return await fetchIt(url, { method: call.method, headers: call.headers ?? {}, signal });
    } catch (cause) {
      signal.throwIfAborted();
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new ComfyError("unreachable", `${this.#name(call)} redirects elsewhere: ${why}`, { cause });
    }
  }

  async #streamOnce(call: Call, target: Target): Promise<StreamedAnswer> {
    const head = new AbortController();
    const timer = AbortSignal.timeout(call.timeoutMs ?? this.#requestTimeoutMs);
    const onTimeout = () => head.abort(timer.reason);
    timer.addEventListener("abort", onTimeout, { once: true });
    return this.#guarded(call, timer, async () => {
      const answer = await this.#dispatch(call, target, head.signal);
      timer.removeEventListener("abort", onTimeout); // the body may take as long as it flows
      return { status: answer.statusCode, headers: answer.headers, body: answer.body };
    });
  }

  async #dispatch(call: Call, target: Target, deadline: AbortSignal): Promise<Dispatcher.ResponseData> {
    const signals = [this.closed, deadline, ...(call.signal ? [call.signal] : [])];
    for (const signal of signals) signal.throwIfAborted();
    return request(target.url, {
      dispatcher: this.#agent,
      method: call.method,
      headers: { ...target.headers, ...call.headers, ...(call.json === undefined ? {} : JSON_HEADERS) },
      body: call.json === undefined ? (call.body ?? null) : JSON.stringify(call.json),
      signal: AbortSignal.any(signals),
    });
  }

  /** Runs one exchange and says in our words why it failed. */
  async #guarded<T>(call: Call, deadline: AbortSignal, exchange: () => Promise<T>): Promise<T> {
    try {
      return await exchange();
    } catch (cause) {
      call.signal?.throwIfAborted();
      this.closed.throwIfAborted();
      throw cause instanceof ComfyError ? cause : failureOf(cause, this.#name(call), deadline);
    }
  }

  #target(call: Call): Target {
    return { url: this.#address.url(call.path, call.query), headers: this.#address.headers };
  }

  #name(call: Call): string {
    return `${call.method} ${call.path} at ${this.#address.origin}`;
  }
}

function redirected(location: string, from: URL, what: string): URL {
  const url = URL.parse(location, from.href);
  if (url) return url;
  throw new ComfyError("protocol", `${what} redirects to something that is no URL.`);
}

const JSON_HEADERS = { "content-type": "application/json" };

export function parseBody<T>(schema: ZodType<T>, text: string, what: string): T {
  try {
    return schema.parse(parseJson(text));
  } catch (cause) {
    throw new ComfyError("protocol", `${what} answered with something else than ComfyUI does; is it ComfyUI?`, {
      cause,
    });
  }
}

/** What a non-2xx means when the call gives it no meaning of its own. */
export function errorOfStatus(answer: Pick<Answer, "status" | "headers">, what: string): ComfyError {
  const retryAfter = Number(answer.headers["retry-after"]);
  const facts = { httpStatus: answer.status, ...(retryAfter > 0 ? { retryAfterSeconds: retryAfter } : {}) };
  const [code, advice] =
    STATUS_MEANING[answer.status] ?? (["protocol", "this is no answer of a healthy ComfyUI"] as const);
  return new ComfyError(code, `${what} answered ${answer.status}: ${advice}.`, { facts });
}

const GATEWAY = ["unreachable", "something in front of ComfyUI cannot reach it"] as const;

const STATUS_MEANING: Readonly<Record<number, readonly [ComfyErrorCode, string]>> = {
  401: ["unauthorized", "check the API key"],
  403: ["unauthorized", "check the API key, and that no proxy adds an Origin header"],
  402: ["payment_required", "the account needs credits"],
  404: ["not_found", "it is not there"],
  413: ["payload_too_large", "raise --max-upload-size or send less"],
  429: ["rate_limited", "wait and ask again"],
  502: GATEWAY,
  503: GATEWAY,
  504: GATEWAY,
};

function failureOf(cause: unknown, what: string, deadline: AbortSignal): ComfyError {
  const code = codeOf(cause);
  if (deadline.aborted || code === "UND_ERR_BODY_TIMEOUT") {
    return new ComfyError(
      "busy",
      `${what} took the connection but did not answer in time; it may be loading a model.`,
      { cause },
    );
  }
  if (code.startsWith("HPE_")) return new ComfyError("protocol", `${what} does not speak HTTP.`, { cause });
  return new ComfyError("unreachable", `${what} failed (${code || "no reason given"}); is ComfyUI up?`, { cause });
}

/** Did this fail before anything was sent, so that the server cannot have acted on it? */
export function isNeverSent(error: ComfyError): boolean {
  return NEVER_SENT.has(codeOf(error.cause));
}

const NEVER_SENT = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "UND_ERR_CONNECT_TIMEOUT",
]);

function codeOf(cause: unknown): string {
  if (typeof cause !== "object" || cause === null) return "";
  if ("code" in cause && typeof cause.code === "string") return cause.code;
  // Happy-eyeballs failures come as an AggregateError of the attempts.
  return "errors" in cause && Array.isArray(cause.errors) ? codeOf(cause.errors[0]) : "";
}
