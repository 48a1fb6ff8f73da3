import { ApiErrorBody } from "@comfyq/contract";
import { withDeadline } from "@comfyq/runtime";
import type * as z from "zod";
import { CliError } from "../CliError.ts";
import type { CliEnv } from "../config.ts";

/** Longest an answer may take to begin; uploads and event streams set their own signal instead. */
const ANSWER_MS = 30_000;

/** One call. `path` starts with `/v1`. */
interface ApiCall {
  readonly method?: "GET" | "POST" | "PUT" | "DELETE";
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Sent as multipart/form-data. */
  readonly form?: FormData;
  readonly signal?: AbortSignal;
}

/** The API as the commands speak to it. */
export interface ApiClient {
  readonly url: string;
  /** @throws CliError `unreachable` when nobody answers, `refused` with the API's own words otherwise */
  readonly send: (call: ApiCall) => Promise<Response>;
  /** `send`, and the answer's JSON, checked. */
  readonly ask: <Answer>(call: ApiCall, answer: z.ZodType<Answer>) => Promise<Answer>;
}

/** Speaks to the API at `COMFYQ_URL`. Opens nothing by itself. */
export function createApiClient({ COMFYQ_URL: url, COMFYQ_API_KEY: key }: CliEnv): ApiClient {
  const send = async (call: ApiCall): Promise<Response> => {
    const request = {
      method: call.method ?? "GET",
      headers: {
        ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
        ...(call.json === undefined ? {} : { "content-type": "application/json" }),
        ...call.headers,
      },
      body: call.form ?? (call.json === undefined ? null : JSON.stringify(call.json)),
      signal: call.signal ?? withDeadline(undefined, ANSWER_MS),
    };
    const response = await fetch(`${url}${call.path}`, request).catch((cause: unknown) => {
      if (call.signal?.aborted) throw cause;
      throw unreachable(url, cause);
    });
    if (!response.ok) throw await refusal(response);
    return response;
  };
  return {
    url,
    send,
    ask: async (call, answer) => parseAnswer(await send(call), answer),
  };
}

async function parseAnswer<Answer>(response: Response, answer: z.ZodType<Answer>): Promise<Answer> {
  const body: unknown = await response.json().catch(() => undefined);
  const parsed = answer.safeParse(body);
  if (parsed.success) return parsed.data;
  const why = "is that really comfyq, and of this version?";
  throw new CliError("broken", `${response.url} gave an answer that cannot be read (${why})`, { cause: parsed.error });
}

/** Nobody answered: says where we looked, and how to change either. */
function unreachable(url: string, cause: unknown): CliError {
  const inner = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause;
  const code = inner instanceof Error && "code" in inner ? String(inner.code) : undefined;
  const why = code ?? (inner instanceof Error ? inner.message : String(inner));
  const advice = "Start it with `npm start`, or say where it is:  COMFYQ_URL=http://host:8190";
  return new CliError("unreachable", `No comfyq answers at ${url} (${why}).\n${advice}`, { cause });
}

/** What an operator, who is mostly the one at this command line, can do about it. */
const HINTS: Readonly<Record<string, readonly string[]>> = {
  unauthorized: ["Set COMFYQ_API_KEY; `keys create --name me` makes one."],
  forbidden: [
    "`keys create --name operator --scope submit --scope read --scope cancel --scope admin` makes one with all.",
  ],
};

async function refusal(response: Response): Promise<CliError> {
  const parsed = ApiErrorBody.safeParse(await response.json().catch(() => undefined));
  if (!parsed.success)
    return new CliError("refused", `${response.url} answered ${response.status} and no reason; is that really comfyq?`);
  const { code, message, details } = parsed.data.error;
  const lines = details.map((detail) => `  ${detail.path}: ${detail.message}`);
  const hint = HINTS[code] ?? [];
  const isInput = response.status === 400 || response.status === 413 || response.status === 422;
  return new CliError(isInput ? "bad_input" : "refused", [message, ...lines, ...hint].join("\n"));
}
