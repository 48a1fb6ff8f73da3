import { type EndedPrompt, endedJobView, type JobView, openJobView } from "@comfyq/comfyui/wire";
import type { JobFacts } from "@comfyq/contract";
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

/** How jobs of a tenant look in a list; those that are not there are left out. */
export interface JobViews {
  open(jobs: readonly JobFacts[]): Promise<readonly JobView[]>;
  ended(tenant: string, ids: readonly string[]): Promise<readonly JobView[]>;
}

/**
 * A job that has ended does not change, nor does how one looks that waits or runs, and an editor asks for its list at every step of the
 * queue: each look is put together once.
 */
export function createJobViews(rooms: Rooms): JobViews {
  const kept = new Map<string, JobView>();
  const once = async (key: string, make: () => Promise<JobView | undefined>): Promise<JobView | undefined> => {
    const known = kept.get(key);
    if (known) return known;
    const view = await make();
    if (view && JSON.stringify(view).length <= MOST_VIEW_CHARACTERS) kept.set(key, view);
    for (const oldest of kept.keys()) {
      if (kept.size <= MOST_KEPT) break;
      kept.delete(oldest);
    }
    return view;
  };
  return {
    open: (jobs) =>
      inPortions(jobs, (job) => once(`${job.tenant} ${job.id} ${job.status}`, () => openView(rooms, job))),
    ended: (tenant, ids) =>
      inPortions(ids, (id) =>
        once(`${tenant} ${id}`, async () => {
          const entry = await promptHistory(rooms, tenant, id);
          return entry && endedJobView(endedPrompt(entry), PROFILE);
        }),
      ),
  };
}

async function inPortions<T>(
  all: readonly T[],
  view: (one: T) => Promise<JobView | undefined>,
): Promise<readonly JobView[]> {
  const views: (JobView | undefined)[] = [];
  for (let from = 0; from < all.length; from += AT_ONCE)
    views.push(...(await Promise.all(all.slice(from, from + AT_ONCE).map(view))));
  return views.filter((one) => one !== undefined);
}

export async function openView({ producer }: Rooms, { id, tenant, status }: JobFacts): Promise<JobView | undefined> {
  const papers = await producer.prompts.papers(tenant, id);
  if (!papers) return undefined;
  const extraData = { create_time: papers.createdAtMs, ...papers.extraData };
  const shown = { promptId: id, number: papers.prompt?.number ?? 0, extraData };
  return openJobView({ ...shown, status: status === "queued" ? "pending" : "in_progress" }, PROFILE);
}

/** Nodes may return a bare value where ComfyUI's own return a list. */
export function endedPrompt({ prompt, outputs, status }: ShownEntry): EndedPrompt {
  const listed = Object.entries(outputs).map(([id, output]) => {
    const lists = Object.entries(output ?? {}).map(([key, value]) => [key, Array.isArray(value) ? value : [value]]);
    return [id, Object.fromEntries(lists)];
  });
  return { prompt, outputs: Object.fromEntries(listed), status };
}
