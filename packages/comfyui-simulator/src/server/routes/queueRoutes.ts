import { isObject, PythonError, pythonInt } from "@comfyq/comfyui/wire";
import { toTuple } from "../../engine/PromptQueue.ts";
import type { ApiRequest } from "../ApiRequest.ts";
import { empty, json } from "../Reply.ts";
import type { Route } from "../Router.ts";

/** Queue, history, interrupt, free (server.py; reference/comfyui-protocol.md §1.2, §1.3). */
export const QUEUE_ROUTES: readonly Route[] = [
  {
    method: "GET",
    path: "/queue",
    handle: (_, { life: { queue } }) =>
      json({ queue_running: queue.running.map(toTuple), queue_pending: queue.pending.map(toTuple) }),
  },
  {
    method: "POST",
    path: "/queue",
    handle: async (request, { life: { queue } }) => {
      const { clear, ids } = await readClearOrDelete(request);
      if (clear) queue.wipe();
      for (const id of ids) queue.delete(id);
      return empty();
    },
  },
  {
    method: "GET",
    path: "/history",
    handle: ({ query }, { life }) => {
      const maxItems = query.get("max_items");
      const offset = query.get("offset");
      return json(
        life.history.page(
          maxItems === null ? undefined : pythonInt(maxItems),
          offset === null ? -1 : pythonInt(offset),
        ),
      );
    },
  },
  {
    method: "GET",
    path: "/history/:id",
    handle: ({ params }, { life }) => {
      const id = params["id"] ?? "";
      const record = life.history.get(id);
      return json(record ? { [id]: record } : {});
    },
  },
  {
    method: "POST",
    path: "/history",
    handle: async (request, { life: { history } }) => {
      const { clear, ids } = await readClearOrDelete(request);
      if (clear) history.clear();
      for (const id of ids) history.delete(id);
      return empty();
    },
  },
  {
    method: "POST",
    path: "/interrupt",
    handle: async (request, { life }) => {
      const body = await request.json().catch((cause: unknown) => {
        if (cause instanceof SyntaxError) return {}; // the one place where ComfyUI forgives bad JSON
        throw cause;
      });
      if (!isObject(body)) throw new PythonError("AttributeError", "'list' object has no attribute 'get'");
      const wanted = body["prompt_id"];
      if (!wanted || life.queue.running.some(({ promptId }) => promptId === wanted)) life.interrupt.set();
      return empty();
    },
  },
  {
    method: "POST",
    path: "/free",
    handle: async (request, { life }) => {
      const body = await request.json();
      if (!isObject(body)) throw new PythonError("AttributeError", "'list' object has no attribute 'get'");
      life.queue.setFlags({ unloadModels: Boolean(body["unload_models"]), freeMemory: Boolean(body["free_memory"]) });
      return empty();
    },
  },
];

/** @throws PythonError | SyntaxError, which become a 500 as in ComfyUI */
async function readClearOrDelete(request: ApiRequest): Promise<{ clear: boolean; ids: readonly unknown[] }> {
  const body = await request.json();
  if (typeof body !== "object" || body === null) throw new PythonError("TypeError", "argument is not iterable");
  const fields = isObject(body) ? body : {};
  const ids = fields["delete"] ?? [];
  if (!Array.isArray(ids)) throw new PythonError("TypeError", "object is not iterable");
  return { clear: Boolean(fields["clear"]), ids };
}
