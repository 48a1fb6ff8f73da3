import { isTerminal } from "@comfyq/contract";
import { readJob } from "../readJob.ts";
import type { QueueRoom } from "../room.ts";
import type { ScheduleState } from "./scheduleState.ts";

/** A schedule whose policy is `allow` may have very many; the rest is nobody's business. */
const MOST = 1_000;

/** The jobs of a schedule that have not ended. Those that have, unnoticed, are forgotten. */
export async function openJobsOf(room: QueueRoom, { tenant, id }: ScheduleState): Promise<readonly string[]> {
  const { redis, names } = room;
  const open: string[] = [];
  for (const jobId of (await redis.smembers(names.scheduleOpen(id))).slice(0, MOST)) {
    const job = await readJob(room, tenant, jobId);
    if (job && !isTerminal(job.status)) open.push(jobId);
    else await redis.srem(names.scheduleOpen(id), jobId);
  }
  return open;
}
