import * as z from "zod";

/** Every code an answer of the API can carry, and its HTTP status. One shape for all of them: Comfy API v2's. */
export const API_ERRORS = {
  invalid_json: 400,
  invalid_request: 422,
  invalid_workflow: 422,
  workflow_format_ui: 422,
  missing_asset: 422,
  idempotency_key_reuse: 422,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  blob_not_found: 404,
  method_not_allowed: 405,
  conflict: 409,
  asset_in_use: 409,
  hash_mismatch: 409,
  payload_too_large: 413,
  unsupported_media_type: 415,
  /** The tenant's own limit. */
  limit_reached: 429,
  too_many_streams: 429,
  too_many_requests: 429,
  /** The system's. */
  queue_full: 503,
  unavailable: 503,
  internal: 500,
} as const;
export type ApiErrorCode = keyof typeof API_ERRORS;

export const ApiErrorBody = z
  .object({
    error: z.object({
      code: z.enum(Object.keys(API_ERRORS) as [ApiErrorCode, ...ApiErrorCode[]]), // keys of the table above
      message: z.string().meta({ description: "What happened, to what, and what to do next" }),
      details: z
        .array(z.object({ path: z.string(), message: z.string() }))
        .meta({ description: "One entry per field that is wrong; path as in the body: workflow.6.inputs.text" }),
    }),
  })
  .meta({ id: "Error" });
export type ApiErrorBody = z.infer<typeof ApiErrorBody>;
