import type { QueueRoom } from "./room.ts";

/** How many deliveries wait to be taken up, are put off (for their next try, or in the line of their host), and are under way. */
export async function deliveryBacklog(
  room: QueueRoom,
): Promise<Readonly<Record<"waiting" | "delayed" | "active", number>>> {
  const { wait = 0, delayed = 0, active = 0 } = await room.deliveries.getJobCounts("wait", "delayed", "active");
  return { waiting: wait, delayed, active };
}
