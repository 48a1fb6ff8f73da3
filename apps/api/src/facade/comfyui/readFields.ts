import { isObject } from "@comfyq/comfyui/wire";
import { parseJson } from "../../body/parseJson.ts";
import { readAnyBody } from "../../body/readBody.ts";
import { ApiError } from "../../errors.ts";
import type { Rooms } from "../../rooms.ts";
import type { Call } from "../../route.ts";

/** The fields of a JSON body, whatever its Content-Type says. @throws ApiError `invalid_json` | `invalid_request` */
export async function readFields({ settings }: Rooms, { req }: Call): Promise<Record<string, unknown>> {
  const body = parseJson(await readAnyBody(req, settings.COMFYQ_MAX_BODY_BYTES), "{}");
  if (isObject(body)) return body;
  throw new ApiError("invalid_request", "The body must be a JSON object");
}
