import type { ApiErrorCode } from "@comfyq/contract";
import type * as z from "zod";
import type { ApiError } from "./errors.ts";

/** An error as a client of some API expects it. */
interface ShownError {
  readonly status: number;
  /** Sent as JSON. */
  readonly body: unknown;
}

/** How an API that others defined says no. Routes behind it throw the same errors as all others. */
export interface Door {
  /** Is this path behind it? Also one that no route has: whoever comes is told so in the words of their API. */
  readonly covers: (path: string) => boolean;
  readonly showError: (error: ApiError) => ShownError;
  /** For the reference page: what an error is here, and its schema. */
  readonly documented: {
    readonly refusal: (code: ApiErrorCode) => { readonly status: number; readonly code: string };
    readonly body: z.ZodType;
  };
}
