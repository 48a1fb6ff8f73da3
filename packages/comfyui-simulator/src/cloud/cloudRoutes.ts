import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isObject } from "@comfyq/comfyui/wire";
import type { HistoryRecord } from "../engine/History.ts";
import { cancelJob, findJob } from "../engine/jobs.ts";
import type { QueuedPrompt } from "../engine/PromptQueue.ts";
import type { Simulation } from "../Simulation.ts";
import { empty, json, type Reply } from "../server/Reply.ts";
import type { Handler, Route } from "../server/Router.ts";
import { readForm } from "../server/readForm.ts";
import { ROUTES } from "../server/routes/allRoutes.ts";
import { submitPrompt } from "../server/routes/promptRoutes.ts";
import { type Cloud, cloudError, contentName } from "./Cloud.ts";

const UNKNOWN = cloudError(404, "NOT_FOUND", "not found");

/** A handler that needs the cloud's own state. */
const inCloud =
  (
    handle: (request: Parameters<Handler>[0], cloud: Cloud, simulation: Simulation) => Reply | Promise<Reply>,
  ): Handler =>
  (request, simulation) =>
    simulation.cloud ? handle(request, simulation.cloud, simulation) : UNKNOWN;

/** What Comfy Cloud answers otherwise than ComfyUI (its openapi-cloud.yaml; reference/comfyui-protocol.md §6.1). */
const OWN_ROUTES: readonly Route[] = [
  {
    method: "POST",
    path: "/prompt",
    handle: async (request, simulation) => {
      const body = await request.json();
      if (!isObject(body)) return cloudError(400, "BAD_REQUEST", "the body is no object");
      const { prompt_id: _minted, number: _ignored, front: _too, ...rest } = body;
      return submitPrompt(rest, request, simulation);
    },
  },
  { method: "GET", path: "/job/:id/status", handle: inCloud(({ params }, ...where) => status(params["id"], ...where)) },
  { method: "GET", path: "/history_v2", handle: inCloud(listHistory) },
  {
    method: "GET",
    path: "/history_v2/:id",
    handle: inCloud(({ params }, cloud, { life }) => {
      const record = life.history.get(params["id"] ?? "");
      if (!record) return UNKNOWN;
      const [priority, prompt_id, prompt, extra_data, outputs_to_execute] = record.prompt;
      const { outputs, ...rest } = record;
      const detail = { priority, prompt_id, prompt, extra_data, outputs_to_execute };
      return json({ [prompt_id]: { ...rest, outputs: cloud.named(outputs), prompt: detail } });
    }),
  },
  {
    method: "GET",
    path: "/queue",
    handle: (_, { life: { queue } }) =>
      json({ queue_running: queue.running.map(queueItem), queue_pending: queue.pending.map(queueItem) }),
  },
  {
    method: "POST",
    path: "/queue",
    handle: inCloud(async (request, cloud, simulation) => {
      const body = await request.json();
      const ids = isObject(body) && Array.isArray(body["delete"]) ? body["delete"].map(String) : [];
      return json({ deleted: ids.filter((id) => cancel(id, cloud, simulation)), cleared: false });
    }),
  },
  {
    method: "POST",
    path: "/jobs/:id/cancel",
    handle: inCloud(({ params }, cloud, simulation) => {
      const id = params["id"] ?? "";
      if (!findJob(simulation.life, id) && !cloud.canceled.has(id)) return UNKNOWN;
      return json({ cancelled: cancel(id, cloud, simulation) });
    }),
  },
  {
    method: "GET",
    path: "/jobs/:id",
    handle: inCloud(({ params }, cloud, { life }) => {
      const job = findJob(life, params["id"] ?? "");
      return job ? json(cloud.named(job)) : UNKNOWN;
    }),
  },
  {
    method: "GET",
    path: "/view",
    handle: inCloud(({ query }, cloud) => {
      const name = query.get("filename") ?? "";
      const path = cloud.pathOf(name);
      if (path === undefined) return UNKNOWN;
      return { ...empty(302), headers: { Location: cloud.files.linkTo(name, path) } };
    }),
  },
  {
    method: "POST",
    path: "/upload/image",
    handle: inCloud(async (request, cloud, { parts }) => {
      const file = (await readForm(request)).files.get("image");
      if (!file) return cloudError(400, "BAD_REQUEST", "there is no file");
      const name = contentName(file.content, file.filename);
      const folder = parts.folders.pathOf("input");
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, name), file.content);
      parts.stats.uploaded(file.content.length);
      return json({ name: cloud.keep(join(folder, name)), subfolder: "", type: "input" });
    }),
  },
];

/** What it answers as ComfyUI does. */
const SAME = new Set([
  "GET /prompt",
  "GET /object_info",
  "GET /object_info/:name",
  "GET /features",
  "GET /system_stats",
  "GET /experiment/models",
  "POST /history",
  "GET /api/jobs",
]);

/** Every route of the cloud, and the simulator's own. */
export const CLOUD_ROUTES: readonly Route[] = [
  ...OWN_ROUTES,
  ...ROUTES.filter(({ method, path }) => SAME.has(`${method} ${path}`) || path.startsWith("/simulator/")),
  // It takes no id: whatever runs is interrupted.
  {
    method: "POST",
    path: "/interrupt",
    handle: (_, { life }) => {
      life.interrupt.set();
      return empty();
    },
  },
];

function cancel(id: string, cloud: Cloud, { life }: Simulation): boolean {
  const isCanceled = cancelJob(life, id);
  if (isCanceled) cloud.canceled.add(id);
  return isCanceled;
}

/** Raw states, as the official SDK meets them; the published enum has others (§6.1). */
function status(id = "", cloud: Cloud, { life, parts }: Simulation): Reply {
  const at = new Date(parts.clock.nowMs()).toISOString();
  const told = (state: string, error_message: string | null = null) =>
    json({ id, status: state, created_at: at, updated_at: at, assigned_inference: null, error_message });
  const record = life.history.get(id);
  if (record) return told(...endOf(record));
  const isHere = (prompt: QueuedPrompt) => prompt.promptId === id;
  if (life.queue.running.some(isHere)) return told(cloud.canceled.has(id) ? "cancelling_preparing" : "executing");
  if (life.queue.pending.some(isHere)) return told("queued_waiting");
  return cloud.canceled.has(id) ? told("cancelled") : UNKNOWN;
}

function endOf({ status: { status_str, messages } }: HistoryRecord): [state: string, error: string | null] {
  const said = (name: string) => messages.find(([message]) => message === name)?.[1];
  if (said("execution_interrupted")) return ["cancelled", null];
  return status_str === "success" ? ["success", null] : ["error", JSON.stringify(said("execution_error") ?? null)];
}

function listHistory({ query }: Parameters<Handler>[0], cloud: Cloud, { life }: Simulation): Reply {
  const offset = Number(query.get("offset") ?? 0);
  const most = Number(query.get("max_items") ?? 100);
  const newest = life.history
    .entries()
    .toReversed()
    .slice(offset, offset + most);
  const history = newest.map(([prompt_id, { prompt, outputs, status: ended, meta }]) => {
    const [priority, , , extra_data] = prompt;
    const light = { priority, prompt_id, extra_data };
    return { prompt_id, prompt: light, outputs: cloud.named(outputs), status: ended, meta };
  });
  return json({ history });
}

function queueItem({ number, promptId, graph, outputs, extraData }: QueuedPrompt): unknown {
  return [number, promptId, graph, outputs, { create_time: extraData["create_time"] ?? 0 }];
}
