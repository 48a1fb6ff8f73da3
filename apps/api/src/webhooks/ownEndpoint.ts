import { Uuid } from "@comfyq/contract";
import type { EndpointFacts } from "@comfyq/queue";
import { orNotFound } from "../errors.ts";
import type { Rooms } from "../rooms.ts";
import type { Call } from "../route.ts";

/** The caller's endpoint. @throws ApiError `not_found`, the same for unknown ids and for somebody else's */
export async function readOwnEndpoint({ producer }: Rooms, call: Call): Promise<EndpointFacts> {
  const id = endpointIdOf(call);
  return ownEndpoint(id, Uuid.safeParse(id).success ? await producer.webhooks.read(call.caller.tenant, id) : undefined);
}

/**
 * Changes the caller's endpoint.
 * @param change may be called again, with what somebody else has made of it meanwhile
 * @throws ApiError `not_found`
 */
export async function changeOwnEndpoint(
  { producer }: Rooms,
  call: Call,
  change: (facts: EndpointFacts) => EndpointFacts,
): Promise<EndpointFacts> {
  const id = endpointIdOf(call);
  return ownEndpoint(id, await producer.webhooks.change(call.caller.tenant, id, change));
}

export function endpointIdOf(call: Call): string {
  return call.params["id"] ?? "";
}

/** What a look-up by tenant found. @throws ApiError `not_found` when it found nothing */
export function ownEndpoint<T>(id: string, found: T | undefined): T {
  return orNotFound("webhook endpoint", id, found);
}
