import type { Delivery, DeliveryStatus, WebhookEventType } from "@comfyq/contract";
import { orUnavailable } from "./errors.ts";
import { readDeliveries } from "./readDelivery.ts";
import type { QueueRoom } from "./room.ts";
import { cursorAt, parseCursor, placesAfter, stretchOf } from "./timeline.ts";

export interface DeliveryQuery {
  readonly tenant: string;
  readonly status?: DeliveryStatus | undefined;
  readonly type?: WebhookEventType | undefined;
  readonly endpointId?: string | undefined;
  readonly jobId?: string | undefined;
  /** Made at this moment or later, Unix ms. */
  readonly sinceMs?: number | undefined;
  /** Made before this moment, Unix ms. */
  readonly untilMs?: number | undefined;
  /** On one page, 1 to 1000. */
  readonly limit: number;
  readonly cursor?: string | undefined;
}

interface DeliveriesFound {
  readonly deliveries: readonly Delivery[];
  readonly nextCursor: string | undefined;
}

/** A filter may find little; one answer looks at no more than this many and then hands out a cursor to go on. */
const LOOK_AT_MOST = 1_000;
const LOOK_AT_ONCE = 100;

/**
 * One page of a tenant's deliveries, newest first. With a filter a page can be short, or empty, and still have a next one.
 * @throws QueueError `unavailable`
 */
export async function listDeliveries(room: QueueRoom, query: DeliveryQuery): Promise<DeliveriesFound> {
  return orUnavailable("deliveries were listed", list(room, query));
}

async function list(room: QueueRoom, query: DeliveryQuery): Promise<DeliveriesFound> {
  const span = { createdAfterMs: query.sinceMs, createdBeforeMs: query.untilMs };
  const stretch = stretchOf(indexFor(room, query), span);
  const deliveries: Delivery[] = [];
  let place = parseCursor(query.cursor);
  for (let seen = 0; seen < LOOK_AT_MOST; ) {
    const batch = await placesAfter(room, stretch, { after: place, count: Math.min(query.limit, LOOK_AT_ONCE) });
    if (batch.length === 0) return { deliveries, nextCursor: undefined };
    const ids = batch.map(({ id }) => id);
    const read = await readDeliveries(room, query.tenant, ids);
    for (const [at, delivery] of read.entries()) {
      place = batch[at];
      if (delivery && isWanted(delivery, query)) deliveries.push(delivery);
      if (deliveries.length === query.limit && place)
        return { deliveries, nextCursor: await cursorAt(room, stretch, place) };
    }
    seen += batch.length;
  }
  return { deliveries, nextCursor: place && (await cursorAt(room, stretch, place)) };
}

/** The shortest list that holds all that is wanted. */
function indexFor({ names }: QueueRoom, { tenant, jobId, endpointId, status }: DeliveryQuery): string {
  if (jobId !== undefined) return names.deliveryIndex(tenant, `job:${jobId}`);
  if (status === "failed") return names.deliveryIndex(tenant, "failed");
  if (endpointId !== undefined) return names.deliveryIndex(tenant, `endpoint:${endpointId}`);
  return names.deliveryIndex(tenant);
}

function isWanted(delivery: Delivery, { status, type, endpointId, jobId }: DeliveryQuery): boolean {
  return (
    (!status || delivery.status === status) &&
    (!type || delivery.type === type) &&
    (!endpointId || delivery.endpoint_id === endpointId) &&
    (!jobId || delivery.job_id === jobId)
  );
}
