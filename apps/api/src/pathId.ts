import { Uuid } from "@comfyq/contract";
import { notFound } from "./errors.ts";
import type { Call } from "./route.ts";

/** The id in the path, when it can be one. What cannot be an id is simply not there. @throws ApiError `not_found` */
export function pathId(call: Call, kind: string): string {
  const id = call.params["id"] ?? "";
  if (!Uuid.safeParse(id).success) throw notFound(kind, id);
  return id;
}
