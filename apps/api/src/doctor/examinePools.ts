import type { DoctorCheck } from "@comfyq/contract";
import type { PoolCounts } from "@comfyq/queue";
import type { Rooms } from "../rooms.ts";
import { fail, messageOf, warn } from "./check.ts";

/** Pools in which jobs wait for somebody to do something, though nothing failed. All is well: none. */
export async function examinePools({ producer }: Rooms): Promise<readonly DoctorCheck[]> {
  try {
    const [pools, workers] = await Promise.all([producer.pools(), producer.workers()]);
    const manned = new Set(workers.map(({ pool }) => pool));
    return pools.flatMap((counts) => poolChecks(counts, manned));
  } catch (error) {
    return [fail("pools", messageOf(error), "look at Redis first")];
  }
}

function poolChecks({ pool, waiting, paused }: PoolCounts, manned: ReadonlySet<string>): readonly DoctorCheck[] {
  const name = `pool ${pool}`;
  if (paused) {
    const advice = `resume the queue jobs-${pool} in Bull Board, at /admin/queues`;
    return [warn(name, `paused by an operator; waiting jobs: ${waiting}`, advice)];
  }
  // That there is no worker at all is told once, for the fleet.
  if (waiting === 0 || manned.size === 0 || manned.has(pool)) return [];
  const advice = `start a worker with COMFYQ_POOL=${pool}; or was the name a mistake? Then comfyq cancel them`;
  return [warn(name, `no worker serves it; waiting jobs: ${waiting}`, advice)];
}
