import { type JobErrorCode, type JobFailure, jobFailure } from "@comfyq/contract";

interface Facts {
  readonly nodeId?: string | undefined;
  readonly classType?: string | undefined;
  readonly details?: Record<string, unknown> | undefined;
  readonly cause?: unknown;
}

/** The worker's one error: a failure as the customer will see it. */
export class JobError extends Error {
  override readonly name = "JobError";
  readonly failure: JobFailure;

  constructor(code: JobErrorCode, message: string, facts: Facts = {}) {
    super(message, { cause: facts.cause });
    this.failure = jobFailure(code, message, facts);
  }
}
