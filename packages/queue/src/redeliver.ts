import type { Delivery } from "@comfyq/contract";
import { nowMs } from "./clock.ts";
import { orUnavailable, QueueError } from "./errors.ts";
import { type DeliveryQuery, listDeliveries } from "./listDeliveries.ts";
import { readDeliveries } from "./readDelivery.ts";
import type { QueueRoom } from "./room.ts";

/**
 * Sends a delivery again, whatever became of it: same `webhook-id`, same bytes, all its tries anew. One that waits for its next
 * try is tried now.
 * @returns undefined for an unknown id and for another tenant's alike
 * @throws QueueError `unavailable`; `conflict` when it is being sent at this moment
 */
export async function redeliver(room: QueueRoom, tenant: string, id: string): Promise<Delivery | undefined> {
  return orUnavailable("a delivery was sent again", again(room, tenant, id));
}

async function again(room: QueueRoom, tenant: string, id: string): Promise<Delivery | undefined> {
  const [delivery] = await readDeliveries(room, tenant, [id]);
  if (!delivery) return undefined;
  const { redis, names, retentionMs } = room;
  if (delivery.job_id !== null) await redis.del(names.hookGone(delivery.job_id));
  await redis.zadd(names.deliveryRetention, "XX", "GT", nowMs() + retentionMs, id);
  await restart(room, delivery);
  await redis.zrem(names.deliveryIndex(tenant, "failed"), id);
  return (await readDeliveries(room, tenant, [id]))[0];
}

async function restart(room: QueueRoom, { id, status, next_try_at }: Delivery): Promise<void> {
  const bullJob = await room.deliveries.getJob(id);
  if (!bullJob) throw new QueueError("not_found", `delivery ${id} was swept just now; it cannot be sent again`);
  try {
    if (status !== "pending")
      await bullJob.retry(status === "failed" ? "failed" : "completed", {
        resetAttemptsMade: true,
        resetAttemptsStarted: true,
      });
    else if (next_try_at !== null) await bullJob.promote();
  } catch (cause) {
    // Somebody else was faster, or it is under way: both are what was wanted, unless it has ended meanwhile.
    if ((await bullJob.isActive()) || (await bullJob.isWaiting())) return;
    throw new QueueError("conflict", `delivery ${id} changed while it was to be sent again; look at it and repeat`, {
      cause,
    });
  }
}

export interface RedeliverQuery extends Omit<DeliveryQuery, "status" | "sinceMs"> {
  readonly sinceMs: number;
  /** Only tell which. */
  readonly isDryRun: boolean;
}

interface Redelivered {
  /** Newest first. */
  readonly ids: readonly string[];
  readonly nextCursor: string | undefined;
}

/** Sends one page of a tenant's failed deliveries again, oldest first. Safe to repeat. @throws QueueError `unavailable` */
export async function redeliverFailed(room: QueueRoom, query: RedeliverQuery): Promise<Redelivered> {
  const { deliveries, nextCursor } = await listDeliveries(room, { ...query, status: "failed" });
  if (!query.isDryRun) for (const { id } of deliveries.toReversed()) await redeliver(room, query.tenant, id);
  return { ids: deliveries.map(({ id }) => id), nextCursor };
}
