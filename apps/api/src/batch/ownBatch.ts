import { orNotFound } from "../errors.ts";
import { pathId } from "../pathId.ts";
import type { Call } from "../route.ts";

/** @throws ApiError `not_found` for what cannot be an id */
export function batchIdOf(call: Call): string {
  return pathId(call, "batch");
}

/** @throws ApiError `not_found`, the same for unknown ids and for somebody else's */
export function found<T>(call: Call, facts: T | undefined): T {
  return orNotFound("batch", batchIdOf(call), facts);
}
