import { COMFYQ_NAMESPACE, toMoment, uuidV5 } from "@comfyq/contract";
import {
  type Delivery,
  disableEndpoint,
  noteAccepted,
  noteHookGone,
  noteRefused,
  type QueueRoom,
  readEndpoint,
  type TryOrder,
  type TryReport,
  tell,
} from "@comfyq/queue";
import { failPoint, type Logger, stripUrl } from "@comfyq/runtime";

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
  if (code === "internal") return; // tells nothing of the receiver
  // Who disabled it may have died before anybody was told.
  if (code === "endpoint_disabled") return tellDisabled(room, tenant, endpointId);
  if (verdict.kind === "delivered") return noteAccepted(room, endpointId);
  const reason = code === "gone" ? GONE : await reasonToDisable(room, endpointId, message ?? code);
  if (reason === undefined || !(await disableEndpoint(room, tenant, endpointId, reason))) return;
  watching.onDisabled();
  watching.log.warn({ tenant, endpointId, code, reason }, "a webhook endpoint was disabled");
  await failPoint("endpoint_disabled", { endpoint: endpointId });
  await tellDisabled(room, tenant, endpointId);
}

/** The other endpoints of the tenant, if they want to hear of that. Safe to repeat: it is told once for each time. */
async function tellDisabled(room: QueueRoom, tenant: string, id: string): Promise<void> {
  const endpoint = await readEndpoint(room, tenant, id);
  if (!endpoint || endpoint.disabledAtMs === null) return; // deleted, or enabled again
  const { url, disabledAtMs, disabledReason } = endpoint;
  const eventId = uuidV5(`${id}:webhook.disabled:${disabledAtMs}`, COMFYQ_NAMESPACE);
  const named = { v: 1, id: eventId, timestamp: toMoment(disabledAtMs), type: "webhook.disabled" } as const;
  const data = { endpoint_id: id, url: stripUrl(url), reason: disabledReason ?? "" };
  await tell(room, { ...named, data }, { tenant });
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
