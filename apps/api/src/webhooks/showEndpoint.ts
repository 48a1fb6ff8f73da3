import { toMoment, WebhookEndpoint } from "@comfyq/contract";
import type { EndpointFacts } from "@comfyq/queue";
import { nowMs } from "@comfyq/runtime";

/** An endpoint as its tenant may see it: without anything secret. */
export function showEndpoint(facts: EndpointFacts): WebhookEndpoint {
  const { id, url, description, metadata, status } = facts;
  return {
    id,
    url,
    events: facts.events.flatMap((type) => EventType.safeParse(type).data ?? []), // types of a newer version are left out
    description,
    header_names: facts.headerNames,
    metadata,
    status,
    disabled_reason: facts.disabledReason,
    disabled_at: facts.disabledAtMs === null ? null : toMoment(facts.disabledAtMs),
    created_at: toMoment(facts.createdAtMs),
    updated_at: toMoment(facts.updatedAtMs),
    old_secret_until: oldSecretUntil(facts.secrets),
  };
}

const EventType = WebhookEndpoint.shape.events.element;

/** When the last of the replaced secrets ends; null when none signs any more. */
export function oldSecretUntil(secrets: readonly { readonly untilMs: number | null }[]): string | null {
  const untilMs = Math.max(...secrets.map((secret) => secret.untilMs ?? 0));
  return untilMs > nowMs() ? toMoment(untilMs) : null;
}
