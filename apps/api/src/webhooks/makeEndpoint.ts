import type { NewWebhookEndpoint, WebhookEndpointChange, WebhookHeaders } from "@comfyq/contract";
import type { EndpointFacts } from "@comfyq/queue";
import { newId, newWebhookSecret, nowMs } from "@comfyq/runtime";
import { ApiError } from "../errors.ts";
import type { Sealer } from "../submit/hideSecrets.ts";

/** A new endpoint, and its secret, which nobody is shown again. */
export function makeEndpoint(
  { headers, ...wish }: NewWebhookEndpoint,
  sealer: Sealer,
): { readonly facts: EndpointFacts; readonly secret: string } {
  const secret = newWebhookSecret();
  const atMs = nowMs();
  const facts: EndpointFacts = {
    v: 1,
    id: newId(),
    ...wish,
    ...sealedHeaders(headers, sealer),
    secrets: [{ sealed: sealer.box.seal(secret, sealer.tenant), untilMs: null }],
    status: "enabled",
    disabledReason: null,
    disabledAtMs: null,
    createdAtMs: atMs,
    updatedAtMs: atMs,
  };
  return { facts, secret };
}

/**
 * What an endpoint becomes. What the change leaves out stays as it is.
 * @throws ApiError `invalid_request` when its headers would go to another host: who can change the address but was not told
 * the headers must not learn them so
 */
export function changeEndpoint(
  facts: EndpointFacts,
  { headers, ...wish }: WebhookEndpointChange,
  sealer: Sealer,
): EndpointFacts {
  const url = wish.url ?? facts.url;
  if (!headers && facts.headerNames.length > 0 && new URL(url).origin !== new URL(facts.url).origin)
    throw new ApiError(
      "invalid_request",
      "Nothing was changed: the headers of this endpoint were meant for another host; send them again, or {} for none",
      { details: [{ path: "headers", message: "is missing; the host of url changes" }] },
    );
  const { description = facts.description, events = facts.events, metadata = facts.metadata } = wish;
  return { ...facts, url, description, events, metadata, ...(headers && sealedHeaders(headers, sealer)) };
}

function sealedHeaders(
  headers: WebhookHeaders,
  { box, tenant }: Sealer,
): Pick<EndpointFacts, "headerNames" | "sealedHeaders"> {
  const headerNames = Object.keys(headers);
  return {
    headerNames,
    sealedHeaders: headerNames.length === 0 ? undefined : box.seal(JSON.stringify(headers), tenant),
  };
}
