/** An error as it stands in the log: only these fields, never the request, the headers or the bytes hung onto it. */
export interface LoggedError {
  readonly name: string;
  readonly message: string;
  readonly code?: string | number;
  readonly stack?: string;
  readonly cause?: LoggedError;
  readonly errors?: readonly LoggedError[];
}

/** Causes deeper than this are left out, so that a cycle ends. */
const DEEPEST_CAUSE = 5;

/** Turns whatever was thrown into plain fields, with its chain of causes and the errors of an AggregateError. */
export function errorForLog(thrown: unknown, depth = 0): LoggedError {
  if (!(thrown instanceof Error)) return { name: typeof thrown, message: textOf(thrown) };
  // Node's, undici's, AWS's and our own errors carry `code`; the Error type does not know it.
  const { code } = thrown as { code?: unknown };
  const deeper = depth < DEEPEST_CAUSE;
  return {
    name: thrown.name,
    message: thrown.message,
    ...(typeof code === "string" || typeof code === "number" ? { code } : {}),
    ...(thrown.stack ? { stack: thrown.stack } : {}),
    ...(deeper && thrown.cause !== undefined ? { cause: errorForLog(thrown.cause, depth + 1) } : {}),
    ...(deeper && thrown instanceof AggregateError
      ? { errors: thrown.errors.slice(0, DEEPEST_CAUSE).map((inner) => errorForLog(inner, depth + 1)) }
      : {}),
  };
}

function textOf(thrown: unknown): string {
  if (typeof thrown === "string") return thrown;
  try {
    return JSON.stringify(thrown) ?? String(thrown);
  } catch {
    return Object.prototype.toString.call(thrown); // a cycle, a bigint: its kind is all that can be said
  }
}
