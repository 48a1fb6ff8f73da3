import { jobOf, type WebhookEvent } from "@comfyq/contract";
import type { Delivery } from "./envelopes.ts";
import type { QueueRoom } from "./room.ts";

/**
 * Queues one event for one URL. The event's id is the BullJob's id, so queueing it twice is queueing it once: a crash
 * in the dispatcher, or a second attempt of a job that tells `job.started` again, changes nothing.
 */
export async function queueDelivery(
  room: QueueRoom,
  event: WebhookEvent,
  to: { readonly tenant: string; readonly url: string },
): Promise<void> {
  const { tenant, url } = to;
  const jobId = jobOf(event)?.id ?? null;
  const delivery: Delivery = { v: 1, tenant, jobId, type: event.type, url, body: JSON.stringify(event) };
  await room.deliveries.add(event.type, delivery, {
    jobId: event.id,
    attempts: room.settings.deliveryBackoffMs.length + 1,
    backoff: { type: "custom" },
    stackTraceLimit: 1,
    removeOnComplete: { age: room.retentionMs / 1_000 },
    removeOnFail: { age: (4 * room.retentionMs) / 1_000 },
  });
}
