import type { WebhookEventType } from "@comfyq/contract";
import { type JobRecord, readRecord } from "./record.ts";
import type { QueueRoom } from "./room.ts";
import type { NamedWebhook } from "./tell.ts";
import { wantedTypes } from "./tellings.ts";

/** A job to which something happened, and who wants to hear of it. */
export interface Settled {
  readonly tenant: string;
  readonly jobId: string;
  /** Undefined: it was swept, and nothing is to be done any more. */
  readonly record: JobRecord | undefined;
  /** Who was named with the job. */
  readonly webhook: NamedWebhook | undefined;
  /** Does anybody want to hear of one of these? */
  isHeard(types: readonly WebhookEventType[]): boolean;
}

/** Read once, in one look, for all that follows: most rows of a batch concern nobody else. */
export async function readSettled(
  room: QueueRoom,
  { tenant, jobId }: Pick<Settled, "tenant" | "jobId">,
): Promise<Settled> {
  const [record, ofEndpoints] = await Promise.all([
    readRecord(room.redis, room.names, jobId),
    wantedTypes(room, tenant),
  ]);
  const head = record?.head;
  const webhook = head?.webhook && { ...head.webhook, sealedHeaders: head.webhookHeaders };
  const wanted = new Set<string>([...ofEndpoints, ...(webhook?.events ?? [])]);
  return { tenant, jobId, record, webhook, isHeard: (types) => types.some((type) => wanted.has(type)) };
}
