import type { WebhookEvent } from "@comfyq/contract";
import { deliveryId, queueDelivery } from "./deliveries.ts";
import type { EndpointFacts } from "./endpointFacts.ts";
import { addEndpoint, changeEndpoint, enableEndpoint, listEndpoints, readEndpoint } from "./endpoints.ts";
import { orUnavailable } from "./errors.ts";
import { type JobSigning, readJobSigning, rotateJobSigning } from "./jobSigning.ts";
import type { QueueRoom } from "./room.ts";

/** A tenant's webhook endpoints as the API uses them, and the secrets of its webhooks of jobs. */
export interface Webhooks {
  list(tenant: string): Promise<readonly EndpointFacts[]>;
  /** @returns undefined for an unknown id and for another tenant's alike */
  read(tenant: string, id: string): Promise<EndpointFacts | undefined>;
  /** @throws QueueError `conflict` when the tenant has as many as it may */
  add(tenant: string, facts: EndpointFacts): Promise<void>;
  /** @param change may be called again, with what somebody else has made of it meanwhile */
  change(
    tenant: string,
    id: string,
    change: (facts: EndpointFacts) => EndpointFacts,
  ): Promise<EndpointFacts | undefined>;
  /** @returns undefined for an unknown id */
  enable(tenant: string, id: string): Promise<EndpointFacts | undefined>;
  /** @returns false for an unknown id */
  remove(tenant: string, id: string): Promise<boolean>;
  /** Queues one event for this endpoint only. @returns the delivery's id */
  send(tenant: string, endpoint: EndpointFacts, event: WebhookEvent): Promise<string>;
  signing(tenant: string): Promise<JobSigning>;
  /** @throws QueueError `conflict` when too many secrets sign already */
  rotateSigning(tenant: string, overlapMs: number): Promise<JobSigning>;
}

export function openWebhooks(room: QueueRoom): Webhooks {
  const read = <T>(work: Promise<T>) => orUnavailable("endpoints were read", work);
  return {
    list: (tenant) => read(listEndpoints(room, tenant)),
    read: (tenant, id) => read(readEndpoint(room, tenant, id)),
    add: (tenant, facts) => addEndpoint(room, tenant, facts),
    change: async (tenant, id, change) => (await changeEndpoint(room, { tenant, id }, change))?.now,
    enable: (tenant, id) => enableEndpoint(room, { tenant, id }),
    remove: async (tenant, id) => {
      const removed = await changeEndpoint(room, { tenant, id }, () => undefined);
      return removed !== undefined;
    },
    send: async (tenant, { id, url, metadata }, event) => {
      await orUnavailable("an event was queued", queueDelivery(room, event, { tenant, url, metadata, endpointId: id }));
      return deliveryId(event.id, id);
    },
    signing: (tenant) => orUnavailable("secrets were looked up", readJobSigning(room, tenant)),
    rotateSigning: (tenant, overlapMs) =>
      orUnavailable("a secret was replaced", rotateJobSigning(room, tenant, overlapMs)),
  };
}
