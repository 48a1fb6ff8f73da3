import { API_ERRORS, type ApiErrorCode } from "@comfyq/contract";
import * as z from "zod";
import type { Door } from "../../door.ts";
import type { ApiError, Fault } from "../../errors.ts";

/** Where Comfy API v2 is served. */
export const V2_BASE = "/api/v2";

/**
 * Our codes that its clients know by another name; all others are the same in both.
 * Source: reference/comfyui-protocol.md §6.2 and `@comfyorg/sdk` 0.1.9 (types.gen.ts).
 */
const V2_CODES: Readonly<Partial<Record<ApiErrorCode, string>>> = {
  invalid_json: "invalid_request",
  too_many_requests: "rate_limited",
  limit_reached: "queue_full", // whose queue it is, its message says
  unavailable: "upstream_unreachable",
  internal: "upstream_error",
};

/** Comfy API v2 has one answer for "come back later": its clients wait as `Retry-After` says. */
const V2_STATUS: Readonly<Partial<Record<ApiErrorCode, number>>> = { queue_full: 429 };

const V2ErrorBody = z
  .object({
    error: z.object({
      code: z.string(),
      message: z.string(),
      details: z
        .object({
          fields: z.array(z.object({ path: z.string(), message: z.string() })),
          nodes: z.record(z.string(), z.array(z.string())).meta({ description: "What is wrong, by node" }),
        })
        .nullable(),
    }),
  })
  .meta({ id: "V2Error" });

/** Comfy API v2's way to say no: `details` is an object there, by node for a workflow. */
export const V2_DOOR: Door = {
  covers: (path) => path === V2_BASE || path.startsWith(`${V2_BASE}/`),
  showError: (error) => ({ status: V2_STATUS[error.code] ?? error.status, body: { error: errorOf(error) } }),
  documented: {
    refusal: (code) => ({ status: V2_STATUS[code] ?? API_ERRORS[code], code: V2_CODES[code] ?? code }),
    body: V2ErrorBody,
  },
};

function errorOf({ code, message, details }: ApiError): z.infer<typeof V2ErrorBody>["error"] {
  return {
    code: V2_CODES[code] ?? code,
    // The contract: the answer never says what holds an asset.
    message: code === "asset_in_use" ? "This asset is in use and cannot be removed" : message,
    details: details.length === 0 ? null : { fields: [...details], nodes: byNode(details) },
  };
}

function byNode(details: readonly Fault[]): Record<string, string[]> {
  const nodes: Record<string, string[]> = Object.create(null); // a node may be called anything
  for (const { path, message } of details) {
    const [, node, rest] = /^workflow\.([^.]+)(?:\.(.+))?$/.exec(path) ?? [];
    if (node === undefined) continue;
    const said = rest === undefined ? message : `${rest} ${message}`;
    nodes[node] = [...(nodes[node] ?? []), said];
  }
  return nodes;
}
