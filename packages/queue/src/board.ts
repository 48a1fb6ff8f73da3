import type { Queue } from "bullmq";
import type { QueueRoom } from "./room.ts";

/**
 * The raw queues for Bull Board: the one deliberate hole in this room's wall. Show them, change nothing through them that
 * submit, cancel or settle should have done.
 */
export async function boardQueues(room: QueueRoom): Promise<readonly Queue[]> {
  const pools = new Set(["default", ...(await room.redis.smembers(room.names.pools))]);
  return [...[...pools].sort().map((pool) => room.jobs(pool)), ...errandQueues(room)];
}

/** All queues but those of jobs: one for each thing that dispatchers do. */
export function errandQueues(room: QueueRoom): readonly Queue[] {
  return [room.settlements, room.deliveries, room.answers, room.schedules, room.ticks];
}
