import { icuRunOf, jobOf, uuidV5, type WebhookEvent, type WebhookFormat } from "@comfyq/contract";
import { nowMs } from "./clock.ts";
import { headOf } from "./deliveryHead.ts";
import { deliveryWaits } from "./deliveryWaits.ts";
import type { Delivery } from "./envelopes.ts";
import type { QueueRoom } from "./room.ts";

/** Who receives an event, and what only they get with it. */
export interface Recipient {
  readonly tenant: string;
  readonly url: string;
  /** Null: the webhook that was named with a job, or with what made it. */
  readonly endpointId: string | null;
  /** What they are sent; the event when they did not say. */
  readonly format?: WebhookFormat | undefined;
  /** Theirs; comes back beside the event. */
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
  /** Their own headers, encrypted; opened when the event is sent. */
  readonly sealedHeaders?: string | undefined;
}

/**
 * The id of a delivery: that of its event for the webhook of a job, and one made from both ids for an endpoint (a UUID v5, RFC
 * 9562 §5.5, of the endpoint's id in the event's namespace). So one event goes to one recipient once.
 */
export function deliveryId(eventId: string, endpointId: string | null): string {
  if (endpointId === null) return eventId;
  return uuidV5(endpointId, eventId);
}

/**
 * Queues one event for one recipient, and enters it into the lists it is found by. `deliveryId` is the BullJob's id, so queueing
 * it twice is queueing it once: a crash in the dispatcher, or a second attempt of a job that tells `job.started` again, changes
 * nothing.
 */
export async function queueDelivery(room: QueueRoom, event: WebhookEvent, to: Recipient): Promise<void> {
  const { tenant, url, endpointId, sealedHeaders } = to;
  const delivery: Delivery = {
    v: 1,
    tenant,
    jobId: jobOf(event)?.id ?? null,
    type: event.type,
    url,
    body: JSON.stringify(bodyOf(event, to)),
    eventId: event.id,
    endpointId,
    ...(sealedHeaders !== undefined && { headers: sealedHeaders }),
  };
  const id = deliveryId(event.id, endpointId);
  const atMs = nowMs();
  await enlist(room, { id, atMs, delivery });
  await room.deliveries.add(event.type, delivery, {
    jobId: id,
    timestamp: atMs,
    attempts: deliveryWaits(event.type, room.settings).length + 1,
    backoff: { type: "custom" },
    stackTraceLimit: 1,
    removeOnComplete: false, // sweepDeliveries forgets it together with its log
    removeOnFail: false,
  });
}

/** Events of batches and the like have no job, and so no other form. */
function bodyOf(event: WebhookEvent, { format, metadata }: Recipient): unknown {
  const job = jobOf(event);
  if (format === "comfyicu" && job) return icuRunOf(job);
  return metadata === undefined ? event : { ...event, metadata };
}

interface Enlisted {
  readonly id: string;
  readonly atMs: number;
  readonly delivery: Delivery;
}

/** Before it is queued: what a crash leaves in a list without a BullJob is shown to nobody, and swept. */
async function enlist({ redis, names, retentionMs }: QueueRoom, { id, atMs, delivery }: Enlisted): Promise<void> {
  const { tenant, jobId, endpointId } = delivery;
  const pipeline = redis
    .pipeline()
    .hsetnx(names.delivery(id), "created", atMs)
    .hset(names.delivery(id), headOf(delivery))
    .zadd(names.deliveryIndex(tenant), "NX", atMs, id)
    .zadd(names.deliveryRetention, "NX", atMs + retentionMs, id);
  if (jobId) pipeline.zadd(names.deliveryIndex(tenant, `job:${jobId}`), "NX", atMs, id);
  if (endpointId) pipeline.zadd(names.deliveryIndex(tenant, `endpoint:${endpointId}`), "NX", atMs, id);
  for (const [error] of (await pipeline.exec()) ?? []) if (error) throw error;
}
