import { API_ERRORS, type ApiErrorBody, type ApiErrorCode } from "@comfyq/contract";
import type { Refusal } from "@comfyq/queue";

/** One field that is wrong; `path` as in the body: `workflow.6.inputs.text`. */
export type Fault = ApiErrorBody["error"]["details"][number];

interface ApiErrorFacts extends ErrorOptions {
  readonly details?: readonly Fault[];
  /** Seconds after which trying again makes sense. */
  readonly retryAfterSeconds?: number;
  /** Headers that the status calls for, such as `WWW-Authenticate`. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** The one error of the API: whatever is thrown becomes one before it is answered. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly code: ApiErrorCode;
  readonly details: readonly Fault[];
  readonly headers: Readonly<Record<string, string>>;

  /** @param message what happened, to what, and what to do next */
  constructor(code: ApiErrorCode, message: string, facts: ApiErrorFacts = {}) {
    super(message, facts);
    this.code = code;
    this.details = facts.details ?? [];
    const retryAfter = facts.retryAfterSeconds === undefined ? {} : { "Retry-After": String(facts.retryAfterSeconds) };
    this.headers = { ...facts.headers, ...retryAfter };
  }

  get status(): number {
    return API_ERRORS[this.code];
  }

  toBody(): ApiErrorBody {
    return { error: { code: this.code, message: this.message, details: [...this.details] } };
  }
}

/** Unknown and somebody else's are the same answer, to the letter. */
export function notFound(kind: string, id: string): ApiError {
  return new ApiError(
    "not_found",
    `There is no ${kind} ${quoted(id)}; check the ${kind === "schedule" ? "name" : "id"}, and that the key is of the same tenant`,
  );
}

/** What a look-up by tenant found. @throws ApiError `not_found`, the same for unknown ids and for somebody else's */
export function orNotFound<T>(kind: string, id: string, found: T | undefined): T {
  if (found === undefined) throw notFound(kind, id);
  return found;
}

/** A customer's text inside a message: on one line, and short. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}

/** What other rooms throw, told apart by name and code: their classes may come from another copy of the package. */
const FOREIGN: Readonly<Record<string, (thrown: Error) => ApiError>> = {
  "QueueError/unavailable": (cause) => new ApiError("unavailable", cause.message, { cause, retryAfterSeconds: 2 }),
  "QueueError/full": (cause) => new ApiError("queue_full", cause.message, { cause, ...refusalOf(cause) }),
  "QueueError/limited": (cause) => new ApiError("limit_reached", cause.message, { cause, ...refusalOf(cause) }),
  "QueueError/key_reuse": (cause) =>
    new ApiError("idempotency_key_reuse", cause.message, {
      cause,
      details: [{ path: "headers.idempotency-key", message: "was used with another body" }],
    }),
  "QueueError/missing_asset": (cause) => new ApiError("missing_asset", cause.message, { cause }),
  "QueueError/too_many": (cause) => new ApiError("conflict", cause.message, { cause }),
  "QueueError/conflict": (cause) => new ApiError("conflict", cause.message, { cause }),
};

/** Which limit it was, and when to come back. */
function refusalOf(cause: Error): Pick<ApiErrorFacts, "details" | "retryAfterSeconds"> {
  const { refusal } = cause as { refusal?: Refusal }; // of a QueueError
  if (!refusal) return { retryAfterSeconds: 60 };
  const { limit, most, used, retryAfterSeconds } = refusal;
  const details = [{ path: `limits.${limit}`, message: `${Math.round(used)} of ${most} are in use` }];
  return { details, ...(retryAfterSeconds !== undefined && { retryAfterSeconds }) };
}

/** Makes an ApiError of anything that was thrown. What nobody foresaw becomes `internal`, and says nothing of itself. */
export function toApiError(thrown: unknown): ApiError {
  if (thrown instanceof ApiError) return thrown;
  if (thrown instanceof Error) {
    const { code } = thrown as { code?: unknown }; // Node's, AWS's and our own errors carry one
    const known = FOREIGN[`${thrown.name}/${String(code)}`];
    if (known) return known(thrown);
    if (thrown.name === "StorageError") return fromStorage(thrown);
    // Express, about a path with a broken escape such as %zz.
    if (thrown instanceof URIError)
      return new ApiError("not_found", "This address cannot be read; see /docs", { cause: thrown });
  }
  return new ApiError(
    "internal",
    "The API failed; this is a fault of ours. Try again, and tell the operator the request id",
    {
      cause: thrown,
    },
  );
}

function fromStorage(cause: Error): ApiError {
  return new ApiError("unavailable", "The file store did not do its part; try again in a moment", {
    cause,
    retryAfterSeconds: 5,
  });
}
