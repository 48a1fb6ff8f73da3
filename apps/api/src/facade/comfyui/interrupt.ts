import { isObject } from "@comfyq/comfyui/wire";
import { parseJson } from "../../body/parseJson.ts";
import { readAnyBody } from "../../body/readBody.ts";
import type { Rooms } from "../../rooms.ts";
import type { Route } from "../../route.ts";
import { cancelAllOpen, cancelOpen } from "./cancelOpen.ts";
import { comfyRoute } from "./comfyRoute.ts";

/** `/interrupt`: of a running job, or of all of the tenant's; never of another tenant's. */
export function interruptRoutes(rooms: Rooms): readonly Route[] {
  return comfyRoute({
    method: "post",
    path: "/interrupt",
    scope: "cancel",
    summary: "Interrupt your running job { prompt_id }, or without a body all of yours that run",
    run: async (call) => {
      const { tenant } = call.caller;
      const wanted = wantedId(await readAnyBody(call.req, rooms.settings.COMFYQ_MAX_BODY_BYTES));
      if (wanted !== undefined) await cancelOpen(rooms, tenant, { id: wanted, only: "running" });
      else await cancelAllOpen(rooms, tenant, "running");
      call.res.status(200).type("application/octet-stream").end();
    },
  });
}

/** A body that is no JSON means all: ComfyUI forgives it here, and nowhere else. */
function wantedId(bytes: Buffer): string | undefined {
  let body: unknown;
  try {
    body = parseJson(bytes, "{}");
  } catch {
    return undefined;
  }
  const id = isObject(body) ? body["prompt_id"] : undefined;
  if (!id) return undefined;
  return typeof id === "string" ? id : JSON.stringify(id);
}
