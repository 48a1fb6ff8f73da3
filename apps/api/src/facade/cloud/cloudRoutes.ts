import { isTerminal, JobId } from "@comfyq/contract";
import * as z from "zod";
import { notFound } from "../../errors.ts";
import { readOwnJob } from "../../ownJob.ts";
import type { Rooms } from "../../rooms.ts";
import { type Call, json, type Route, route } from "../../route.ts";
import { promptHistory } from "../comfyui/promptHistory.ts";
import { CLOUD_DOOR, CLOUD_TAG } from "./cloudDoor.ts";
import { CloudHistory, CloudHistoryPage, CloudStatus, CloudUser } from "./cloudSchemas.ts";
import { showCloudEntry, showCloudListed } from "./showCloudHistory.ts";
import { showCloudStatus } from "./showCloudJob.ts";

/** Entries of one answer, and how far back a page may begin. */
const MOST_ENTRIES = 1_000;
const KEPT_ENTRIES = 10_000;

const Params = z.object({ id: JobId.meta({ description: "The prompt_id" }) });
const Page = z.object({
  max_items: z.coerce.number().int().min(1).max(MOST_ENTRIES).default(MOST_ENTRIES),
  offset: z.coerce.number().int().min(0).max(KEPT_ENTRIES).default(0).meta({ description: "From the newest" }),
});

/** What Comfy Cloud's API v1 has beyond ComfyUI's own: the same jobs, in its words. */
export function cloudRoutes(rooms: Rooms): readonly Route[] {
  const shared = { method: "get", scope: "read", door: CLOUD_DOOR, tag: CLOUD_TAG } as const;
  return [
    route({
      ...shared,
      path: "/api/job/{id}/status",
      summary: "Where a job is: pending, in_progress, completed, failed or cancelled",
      params: Params,
      answers: { 200: json("Its status", CloudStatus) },
      errors: ["not_found"],
      run: async (call) => void call.res.json(showCloudStatus(await readOwnJob(rooms, call))),
    }),
    route({
      ...shared,
      path: "/api/history_v2/{id}",
      summary: "One ended job, with its outputs by node; {} while it has not ended",
      params: Params,
      answers: { 200: json("By prompt_id", CloudHistory) },
      errors: ["not_found"],
      run: async (call) => void call.res.json(await oneEntry(rooms, call)),
    }),
    route({
      ...shared,
      path: "/api/history_v2",
      summary: "Your ended jobs, newest first",
      query: Page,
      answers: { 200: json("Without their graphs", CloudHistoryPage) },
      errors: ["invalid_request"],
      run: async (call) => void call.res.json({ history: await entriesOf(rooms, call.caller.tenant, call.query) }),
    }),
    route({
      ...shared,
      path: "/api/user",
      summary: "Whether the key is taken",
      answers: { 200: json("It is", CloudUser) },
      run: ({ res }) => void res.json({ status: "active" }),
    }),
  ];
}

/** @throws ApiError `not_found` for a job that there is not, or that was taken out of the history */
async function oneEntry(rooms: Rooms, call: Call): Promise<z.infer<typeof CloudHistory>> {
  const { id, status, tenant } = await readOwnJob(rooms, call);
  if (!isTerminal(status)) return {};
  const entry = (await rooms.producer.prompts.isInHistory(tenant, id)) && (await promptHistory(rooms, tenant, id));
  if (!entry) throw notFound("job", id);
  return { [id]: showCloudEntry(entry) };
}

async function entriesOf(rooms: Rooms, tenant: string, { max_items, offset }: z.output<typeof Page>) {
  const newest = await rooms.producer.prompts.ended(tenant, { maxItems: offset + max_items, offset: undefined });
  const ids = newest.toReversed().slice(offset);
  const entries = await Promise.all(ids.map((id) => promptHistory(rooms, tenant, id)));
  return entries.flatMap((entry) => (entry ? [showCloudListed(entry)] : []));
}
