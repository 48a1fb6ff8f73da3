import { noteScheduledEnd, type QueueRoom, readSettled, type Settlement } from "@comfyq/queue";
import { announce } from "./announce.ts";
import { followBatch } from "./tellBatch.ts";

/** Something happened to a job: whoever wants to hear of it is told, and what made the job goes on. Safe to repeat. */
export async function runSettlement(room: QueueRoom, settlement: Settlement, publicUrl: string): Promise<void> {
  const settled = await readSettled(room, settlement);
  await announce(room, { settlement, settled }, publicUrl);
  if (settlement.what !== "ended") return;
  await followBatch(room, settled, publicUrl);
  await noteScheduledEnd(room, settled);
}
