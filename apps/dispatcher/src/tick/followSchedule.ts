import { noteScheduledEnd, type QueueRoom, type Settlement } from "@comfyq/queue";

/** A job has ended: if a schedule made it, a tick may wait for that. Safe to repeat. */
export async function followSchedule(room: QueueRoom, { tenant, jobId, what }: Settlement): Promise<void> {
  if (what === "ended") await noteScheduledEnd(room, tenant, jobId);
}
