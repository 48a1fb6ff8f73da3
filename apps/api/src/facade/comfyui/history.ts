import { ClearOrDelete } from "@comfyq/comfyui/wire";
import { JobId } from "@comfyq/contract";
import { ApiError } from "../../errors.ts";
import type { Rooms } from "../../rooms.ts";
import type { Call, Route } from "../../route.ts";
import { comfyRoute } from "./comfyRoute.ts";
import { promptHistory, type ShownEntry } from "./promptHistory.ts";
import { readFields } from "./readFields.ts";

/** Entries of one answer: each has its whole graph. */
const MOST_ENTRIES = 1_000;

/** `/history`: a tenant's ended jobs. To delete there is to hide: the job stays what it is. */
export function historyRoutes(rooms: Rooms): readonly Route[] {
  return [
    ...comfyRoute({
      method: "get",
      path: "/history",
      scope: "read",
      summary: "Your ended jobs, oldest first; the newest 1000 at most",
      run: async (call) => {
        const ids = await rooms.producer.prompts.ended(call.caller.tenant, readPage(call));
        call.res.json(await entriesOf(rooms, call, ids));
      },
    }),
    ...comfyRoute({
      method: "get",
      path: "/history/{prompt_id}",
      scope: "read",
      summary: "One ended job; {} while it has not ended, and for an unknown id",
      run: async (call) => {
        const id = call.params["prompt_id"] ?? "";
        const isThere =
          JobId.safeParse(id).success && (await rooms.producer.prompts.isInHistory(call.caller.tenant, id));
        call.res.json(isThere ? await entriesOf(rooms, call, [id]) : {});
      },
    }),
    ...comfyRoute({
      method: "post",
      path: "/history",
      scope: "cancel",
      summary: "Hide ended jobs from the history: { clear: true } or { delete: [ids] }",
      run: async (call) => {
        const fields = ClearOrDelete.safeParse(await readFields(rooms, call)).data ?? {};
        if (fields.clear) await rooms.producer.prompts.hide(call.caller.tenant, "all");
        await rooms.producer.prompts.hide(call.caller.tenant, fields.delete ?? []);
        call.res.status(200).type("application/octet-stream").end();
      },
    }),
  ];
}

async function entriesOf(rooms: Rooms, call: Call, ids: readonly string[]): Promise<Record<string, ShownEntry>> {
  const entries = await Promise.all(ids.map((id) => promptHistory(rooms, call.caller.tenant, id)));
  return Object.fromEntries(ids.flatMap((id, at) => (entries[at] ? [[id, entries[at]]] : [])));
}

/** @throws ApiError `invalid_request` */
function readPage({ req }: Call) {
  const maxItems = readCount(req.query["max_items"], "max_items");
  const offset = readCount(req.query["offset"], "offset");
  return {
    maxItems: maxItems === undefined || maxItems < 0 ? MOST_ENTRIES : Math.min(maxItems, MOST_ENTRIES),
    offset: offset === undefined || offset < 0 ? undefined : offset,
  };
}

function readCount(text: unknown, name: string): number | undefined {
  if (text === undefined) return undefined;
  if (typeof text === "string" && /^-?\d{1,9}$/.test(text)) return Number(text);
  throw new ApiError("invalid_request", `${name} must be a whole number`);
}
