import { RetryRequest } from "@comfyq/contract";
import { parseJson } from "../body/parseJson.ts";
import { zodFaults } from "../body/zodFaults.ts";
import { ApiError } from "../errors.ts";

/**
 * Bytes → what is to be retried, with every default filled in.
 * @throws ApiError `invalid_json`, or `invalid_request` with every faulty field
 */
export function readRetryRequest(bytes: Buffer): RetryRequest {
  const parsed = RetryRequest.safeParse(parseJson(bytes, '{"status": "failed"}'));
  if (parsed.success) return parsed.data;
  const details = zodFaults(parsed.error, Object.keys(RetryRequest.shape));
  const [first] = details;
  const what =
    first && first.path !== "" ? `${first.path} ${first.message}` : 'send a JSON object such as {"status": "failed"}';
  throw new ApiError("invalid_request", `Nothing was retried: ${what}; see details, and /docs for what is taken`, {
    details,
  });
}
