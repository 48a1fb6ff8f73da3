import {
  type Delivery,
  disableEndpoint,
  noteAccepted,
  noteHookGone,
  noteRefused,
  type QueueRoom,
  type TryOrder,
  type TryReport,
} from "@comfyq/queue";
import type { Logger } from "@comfyq/runtime";

interface Watching {
  readonly log: Logger;
  /** An endpoint was disabled. */
  readonly onDisabled: () => void;
}

interface Tried {
  readonly delivery: Delivery;
  readonly order: TryOrder;
  readonly report: TryReport;
}

/**
 * What one try means for those that follow: 410 Gone disables an endpoint, and ends the telling about one job; an endpoint that
 * accepts nothing for days is disabled, and says why. Safe to repeat.
 */
export async function watchEndpoint(
  room: QueueRoom,
  { delivery, order, report }: Tried,
  watching: Watching,
): Promise<void> {
  const { tenant, jobId, endpointId } = delivery;
  const { code, message, verdict } = report;
  if (endpointId === null) {
    if (code === "gone" && jobId !== null) await noteHookGone(room, jobId, order.deliveryId);
    return;
  }
  if (code === "internal" || code === "endpoint_disabled") return; // tells nothing of the receiver
  if (verdict.kind === "delivered") return noteAccepted(room, endpointId);
  const reason = code === "gone" ? GONE : await reasonToDisable(room, endpointId, message ?? code);
  if (reason === undefined || !(await disableEndpoint(room, tenant, endpointId, reason))) return;
  watching.onDisabled();
  watching.log.warn({ tenant, endpointId, code, reason }, "a webhook endpoint was disabled");
}

const GONE = "It answered 410 Gone, which asks for no more events; enable it again when it is to have them";

async function reasonToDisable(room: QueueRoom, endpointId: string, last: string): Promise<string | undefined> {
  const since = await noteRefused(room, endpointId);
  if (!since) return undefined;
  return (
    `It has accepted nothing since ${since.toISOString()}, the last time: ${last}; ` +
    "mend it, enable it again, and send what it missed with POST /v1/deliveries/redeliver"
  );
}
