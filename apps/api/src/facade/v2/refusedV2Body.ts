import type * as z from "zod";
import { zodFaults } from "../../body/zodFaults.ts";
import { ApiError } from "../../errors.ts";

/** What a body is told that is not of its form; the fields of v2 are closed. */
export function refusedV2Body(error: z.ZodError, schema: z.ZodObject): ApiError {
  const details = zodFaults(error, Object.keys(schema.shape));
  const first = details[0] ? `: ${details[0].path} ${details[0].message}` : "";
  return new ApiError("invalid_request", `The body cannot be taken${first}`, { details });
}
