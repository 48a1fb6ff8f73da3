import { RedeliverRequest } from "@comfyq/contract";
import { parseJson } from "../body/parseJson.ts";
import { zodFaults } from "../body/zodFaults.ts";
import { ApiError } from "../errors.ts";

const EXAMPLE = '{"since": "2026-12-01T09:00:00Z"}';

/**
 * Bytes → what is to be sent again, with every default filled in.
 * @throws ApiError `invalid_json`, or `invalid_request` with every faulty field
 */
export function readRedeliverRequest(bytes: Buffer): RedeliverRequest {
  const parsed = RedeliverRequest.safeParse(parseJson(bytes, EXAMPLE));
  if (parsed.success) return parsed.data;
  const details = zodFaults(parsed.error, Object.keys(RedeliverRequest.shape));
  const [first] = details;
  const what = first && first.path !== "" ? `${first.path} ${first.message}` : `send a JSON object such as ${EXAMPLE}`;
  throw new ApiError("invalid_request", `Nothing was sent again: ${what}; see details, and /docs for what is taken`, {
    details,
  });
}
