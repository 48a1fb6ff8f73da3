import { type EndedPrompt, endedJobView, type JobView } from "@comfyq/comfyui/wire";
import type { Rooms } from "../../rooms.ts";
import { promptHistory, type ShownEntry } from "./promptHistory.ts";

/** As the newest servers show them. */
export const PROFILE = { knowsCancelledJobs: true, countsPreviewableOutputs: true };
/** Of all tenants, in this process. */
const MOST_KEPT = 10_000;
/** A larger one, with a long error, is put together each time. */
const MOST_VIEW_CHARACTERS = 4_000;
/** Jobs that are read at once: each with its whole graph. */
const AT_ONCE = 50;

/** How these jobs look in a list, in the order of the ids; those that are no ended jobs of this tenant are left out. */
export type EndedViews = (tenant: string, ids: readonly string[]) => Promise<readonly JobView[]>;

/** A job that has ended does not change, and an editor asks for its list at every step of the queue: each is put together once. */
export function createEndedViews(rooms: Rooms): EndedViews {
  const kept = new Map<string, JobView>();
  const read = async (tenant: string, id: string): Promise<JobView | undefined> => {
    const key = `${tenant} ${id}`;
    const known = kept.get(key);
    if (known) return known;
    const entry = await promptHistory(rooms, tenant, id);
    const view = entry && endedJobView(endedPrompt(entry), PROFILE);
    if (view && JSON.stringify(view).length <= MOST_VIEW_CHARACTERS) kept.set(key, view);
    for (const oldest of kept.keys()) {
      if (kept.size <= MOST_KEPT) break;
      kept.delete(oldest);
    }
    return view;
  };
  return async (tenant, ids) => {
    const views: (JobView | undefined)[] = [];
    for (let from = 0; from < ids.length; from += AT_ONCE)
      views.push(...(await Promise.all(ids.slice(from, from + AT_ONCE).map((id) => read(tenant, id)))));
    return views.filter((view) => view !== undefined);
  };
}

/** Nodes may return a bare value where ComfyUI's own return a list. */
export function endedPrompt({ prompt, outputs, status }: ShownEntry): EndedPrompt {
  const listed = Object.entries(outputs).map(([id, output]) => {
    const lists = Object.entries(output ?? {}).map(([key, value]) => [key, Array.isArray(value) ? value : [value]]);
    return [id, Object.fromEntries(lists)];
  });
  return { prompt, outputs: Object.fromEntries(listed), status };
}
