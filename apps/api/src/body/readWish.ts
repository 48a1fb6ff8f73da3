import type * as z from "zod";
import { ApiError } from "../errors.ts";
import type { Rooms } from "../rooms.ts";
import type { Call } from "../route.ts";
import { parseJson } from "./parseJson.ts";
import { readBody } from "./readBody.ts";
import { zodFaults } from "./zodFaults.ts";

/** What a body is to be. */
interface Form<Schema extends z.ZodObject> {
  readonly schema: Schema;
  /** JSON of a good one. */
  readonly example: string;
  /** Nothing at all may be sent for `{}`. */
  readonly isOptional?: true;
  /** What has not happened when it is refused; "changed" when left out. */
  readonly undone?: string;
}

/**
 * The body of this request, with every default filled in.
 * @throws ApiError `invalid_json` | `payload_too_large` | `unsupported_media_type`; `invalid_request` with every faulty field
 */
export async function readWish<Schema extends z.ZodObject>(
  { settings }: Rooms,
  { req }: Call,
  { schema, example, isOptional, undone = "changed" }: Form<Schema>,
): Promise<z.output<Schema>> {
  const isEmpty = req.get("transfer-encoding") === undefined && Number(req.get("content-length") ?? 0) === 0;
  const body = isOptional && isEmpty ? {} : parseJson(await readBody(req, settings.COMFYQ_MAX_BODY_BYTES), example);
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const details = zodFaults(parsed.error, Object.keys(schema.shape));
  const [first] = details;
  const what = first && first.path !== "" ? `${first.path} ${first.message}` : `send a JSON object such as ${example}`;
  throw new ApiError("invalid_request", `Nothing was ${undone}: ${what}; see details, and /docs for what is taken`, {
    details,
  });
}
