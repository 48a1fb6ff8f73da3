import type { WebhookEvent, WebhookEventType, WebhookFormat } from "@comfyq/contract";
import { queueDelivery, type Recipient } from "./deliveries.ts";
import { listEndpoints } from "./endpoints.ts";
import type { QueueRoom } from "./room.ts";

/** Who was named when a job, or what made it, was asked for. */
export interface NamedWebhook {
  readonly url: string;
  readonly events: readonly string[];
  readonly format?: WebhookFormat | undefined;
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
  /** Its headers, encrypted. */
  readonly sealedHeaders?: string | undefined;
}

/** Who is to be told of an event, beside the endpoints of its tenant. */
export interface Audience {
  readonly tenant: string;
  readonly webhook?: NamedWebhook | undefined;
  /** Called after each delivery was queued, before the next is. */
  readonly onQueued?: (() => Promise<void>) | undefined;
}

/**
 * Queues one event for everybody who wants it. Safe to repeat: one event goes to one receiver once.
 * @returns how many want it
 */
export async function tell(room: QueueRoom, event: WebhookEvent, audience: Audience): Promise<number> {
  const recipients = await recipientsOf(room, event.type, audience);
  for (const recipient of recipients) {
    await queueDelivery(room, event, recipient);
    room.told.set(event.type, (room.told.get(event.type) ?? 0) + 1);
    await audience.onQueued?.();
  }
  return recipients.length;
}

async function recipientsOf(
  room: QueueRoom,
  type: WebhookEventType,
  { tenant, webhook }: Audience,
): Promise<readonly Recipient[]> {
  const endpoints = (await listEndpoints(room, tenant)).filter(
    ({ status, events }) => status === "enabled" && events.includes(type),
  );
  const named = webhook?.events.includes(type) ? [{ ...webhook, tenant, endpointId: null }] : [];
  // The headers and secrets of an endpoint are looked up when it is sent to: they may have been replaced by then.
  return [...named, ...endpoints.map(({ id, url, metadata }) => ({ tenant, url, metadata, endpointId: id }))];
}
