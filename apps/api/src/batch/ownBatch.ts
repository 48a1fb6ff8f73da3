import { Uuid } from "@comfyq/contract";
import { notFound } from "../errors.ts";
import type { Call } from "../route.ts";

/** @throws ApiError `not_found` for what cannot be an id */
export function batchIdOf(call: Call): string {
  const id = call.params["id"] ?? "";
  if (!Uuid.safeParse(id).success) throw notFound("batch", id);
  return id;
}

/** @throws ApiError `not_found`, the same for unknown ids and for somebody else's */
export function found<T>(call: Call, facts: T | undefined): T {
  if (facts === undefined) throw notFound("batch", call.params["id"] ?? "");
  return facts;
}
