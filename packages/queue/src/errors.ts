import type { LimitName } from "@comfyq/contract";

/**
 * `unavailable`: Redis did not answer in time; nothing is known to have happened. `full`: the pool's cap is reached. `limited`:
 * the tenant's own limit is.
 * `unsafe_redis`: its settings can lose jobs. `conflict`: the job has ended. `key_reuse`: same key, other body.
 * `missing_asset`: one that the job names is not there, or is just being removed. `too_many`: of what a tenant may have.
 */
export type QueueErrorCode =
  | "unavailable"
  | "full"
  | "limited"
  | "unsafe_redis"
  | "conflict"
  | "key_reuse"
  | "not_found"
  | "missing_asset"
  | "too_many";

/** Which limit was reached, and when it is worth coming back. */
export interface Refusal {
  readonly limit: LimitName | "pool";
  readonly most: number;
  readonly used: number;
  /** Undefined: coming back is of no use. */
  readonly retryAfterSeconds: number | undefined;
}

export class QueueError extends Error {
  readonly code: QueueErrorCode;
  /** With `full` and `limited`. */
  readonly refusal: Refusal | undefined;
  constructor(code: QueueErrorCode, message: string, { refusal, ...options }: QueueErrorOptions = {}) {
    super(message, options);
    this.name = "QueueError";
    this.code = code;
    this.refusal = refusal;
  }
}

interface QueueErrorOptions extends ErrorOptions {
  readonly refusal?: Refusal;
}

/** Mistakes of ours, which trying again does not mend. */
const OUR_MISTAKES: readonly string[] = ["ZodError", "TypeError", "RangeError", "SyntaxError", "ReferenceError"];

/** True for what parsing and programming throw, as against what a connection throws. */
export function isOurMistake(error: unknown): boolean {
  return error instanceof Error && OUR_MISTAKES.includes(error.name);
}

/** Runs one Redis conversation; whatever goes wrong underneath becomes `unavailable`. */
export async function orUnavailable<T>(what: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    if (cause instanceof QueueError || isOurMistake(cause)) throw cause;
    throw new QueueError("unavailable", `Redis did not answer while ${what}; try again in a moment`, { cause });
  }
}
