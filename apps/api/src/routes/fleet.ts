import { WorkerBeat } from "@comfyq/contract";
import * as z from "zod";
import type { Rooms } from "../rooms.ts";
import { json, type Route, route } from "../route.ts";

const Workers = z.object({ workers: z.array(WorkerBeat) }).meta({ id: "Workers" });
const Pool = z
  .object({
    name: z.string(),
    waiting: z.int().meta({ description: "Jobs that may start now" }),
    delayed: z.int().meta({ description: "Jobs that wait for their run_at, or for another try" }),
    active: z.int().meta({ description: "Jobs that a worker holds" }),
    succeeded: z.int().meta({ description: "Ended well and not yet swept" }),
    failed: z.int().meta({ description: "Ended otherwise while running and not yet swept" }),
    paused: z.boolean().meta({ description: "An operator stopped it in Bull Board: no job of it is begun" }),
    workers: z.int().meta({ description: "Workers alive" }),
  })
  .meta({ id: "Pool" });
const Pools = z.object({ pools: z.array(Pool) }).meta({ id: "Pools" });

/** The fleet: everybody may see how it is, nobody whose job it runs. */
export function fleetRoutes(rooms: Rooms): readonly Route[] {
  const shared = { method: "get", scope: "read", tag: "Fleet" } as const;
  return [
    route({
      ...shared,
      path: "/v1/workers",
      summary: "List workers and the ComfyUI that each drives",
      description: "job_id is shown for your own jobs.",
      answers: { 200: json("Those that beat within the last 10 s", Workers) },
      run: async (call) => {
        const { tenant } = call.caller;
        const workers = await Promise.all(
          (await rooms.producer.workers()).map(async (worker) => {
            const isOwn = worker.job_id !== null && (await rooms.producer.read(tenant, worker.job_id)) !== undefined;
            return isOwn ? worker : { ...worker, job_id: null };
          }),
        );
        call.res.json({ workers });
      },
    }),
    route({
      ...shared,
      path: "/v1/pools",
      summary: "Count jobs and workers per pool",
      answers: { 200: json("Every pool that was ever used", Pools) },
      run: async (call) => {
        const [pools, workers] = await Promise.all([rooms.producer.pools(), rooms.producer.workers()]);
        const shown = pools.map(({ pool: name, ...counts }) => ({
          name,
          ...counts,
          workers: workers.filter((worker) => worker.pool === name).length,
        }));
        call.res.json({ pools: shown } satisfies z.output<typeof Pools>);
      },
    }),
  ];
}
