import type { ApiErrorCode } from "@comfyq/contract";

/** How work that is handed in, a job or a batch, can be refused; for the reference page. */
export const SUBMIT_ERRORS = [
  "invalid_json",
  "invalid_request",
  "invalid_workflow",
  "workflow_format_ui",
  "missing_asset",
  "idempotency_key_reuse",
  "payload_too_large",
  "unsupported_media_type",
  "limit_reached",
  "queue_full",
] as const satisfies readonly ApiErrorCode[];
