import type { WebhookEvent, WebhookRequest } from "@comfyq/contract";
import { queueDelivery } from "./deliveries.ts";
import { readRecord } from "./record.ts";
import type { QueueRoom } from "./room.ts";

/** Who is to be told of an event, beside the endpoints of its tenant. */
export interface Audience {
  readonly tenant: string;
  /** Who was named when the job, or what made it, was asked for. */
  readonly webhook?: { readonly url: string; readonly events: readonly string[] } | undefined;
}

/** Queues one event for everybody who wants it. Safe to repeat: one event goes to one receiver once. */
export async function tell(room: QueueRoom, event: WebhookEvent, { tenant, webhook }: Audience): Promise<void> {
  if (webhook?.events.includes(event.type))
    await queueDelivery(room, event, { tenant, url: webhook.url, endpointId: null });
}

/** Who asked to be told about a job, and of what; undefined when nobody did. */
export async function readWebhook(room: QueueRoom, jobId: string): Promise<WebhookRequest | undefined> {
  return (await readRecord(room.redis, room.names, jobId))?.head.webhook;
}
