import { ClearOrDelete } from "@comfyq/comfyui/wire";
import type { JobFacts } from "@comfyq/contract";
import type { Rooms } from "../../rooms.ts";
import type { Route } from "../../route.ts";
import { cloudQueueItem } from "../cloud/cloudQueue.ts";
import { isCloudClient } from "../cloud/isCloudClient.ts";
import { cancelAllOpen, cancelOpen } from "./cancelOpen.ts";
import { comfyRoute } from "./comfyRoute.ts";
import { promptTuple } from "./promptHistory.ts";
import { readFields } from "./readFields.ts";

/** Jobs of one answer: each has its whole graph. */
export const MOST_OPEN = 1_000;

/** `/queue`: a tenant's jobs that have not ended. */
export function queueRoutes(rooms: Rooms): readonly Route[] {
  return [
    ...comfyRoute({
      method: "get",
      path: "/queue",
      scope: "read",
      summary: "Your jobs that have not ended; the oldest 1000 at most",
      run: async (call) => {
        const { caller, res } = call;
        const open = await rooms.producer.prompts.open(caller.tenant, MOST_OPEN);
        const tuples = async (jobs: readonly JobFacts[]) => {
          const papers = await Promise.all(jobs.map(({ id }) => rooms.producer.prompts.papers(caller.tenant, id)));
          return jobs.flatMap(({ id }, at) => (papers[at] ? [promptTuple(id, papers[at])] : []));
        };
        const [queue_running, queue_pending] = await Promise.all([
          tuples(open.filter((job) => job.status !== "queued")),
          tuples(open.filter((job) => job.status === "queued")),
        ]);
        if (!isCloudClient(call)) return void res.json({ queue_running, queue_pending });
        res.json({
          queue_running: queue_running.map(cloudQueueItem),
          queue_pending: queue_pending.map(cloudQueueItem),
        });
      },
    }),
    ...comfyRoute({
      method: "post",
      path: "/queue",
      scope: "cancel",
      summary: "Cancel waiting jobs: { clear: true } or { delete: [ids] }; running ones are left alone",
      run: async (call) => {
        const { tenant } = call.caller;
        const fields = ClearOrDelete.safeParse(await readFields(rooms, call)).data ?? {};
        if (fields.clear) await cancelAllOpen(rooms, tenant, "queued");
        const deleted: string[] = [];
        for (const id of fields.delete ?? [])
          if (await cancelOpen(rooms, tenant, { id, only: "queued" })) deleted.push(id);
        if (isCloudClient(call)) return void call.res.json({ deleted, cleared: fields.clear ?? false });
        call.res.status(200).type("application/octet-stream").end();
      },
    }),
  ];
}
