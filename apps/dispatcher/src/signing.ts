import { type Delivery, type QueueRoom, readEndpoint, readJobSigning } from "@comfyq/queue";
import { nowMs, type SecretBox, tenantWebhookSecret } from "@comfyq/runtime";
import { Webhook } from "standardwebhooks";
import * as z from "zod";

/** Who gets a delivery, as they stand at this try. */
export type Receiver =
  | {
      readonly kind: "open";
      readonly url: string;
      /** `whsec_…`, newest first: while one is being replaced, the old one signs as well. */
      readonly secrets: readonly string[];
      /** Their own headers, opened. Secrets: they stand in no log and no record of a try. */
      readonly headers: Readonly<Record<string, string>>;
      /** A text without any of these secrets: a receiver may answer with what it was sent, and what it answers is kept. */
      hide(text: string): string;
    }
  /** There is nobody to send it to any more; `why` can be shown to the customer. */
  | { readonly kind: "gone"; readonly why: string };

interface Keys {
  /** Opens what was sealed by the API. */
  readonly box: SecretBox;
  /** What tenants' webhook secrets are derived from. */
  readonly master: string;
}

const OwnHeaders = z.record(z.string(), z.string());

/** @throws SecretBoxError when something was sealed with another key */
export async function receiverOf(room: QueueRoom, keys: Keys, delivery: Delivery): Promise<Receiver> {
  const { tenant, url, endpointId, headers } = delivery;
  if (endpointId !== null) return endpointOf(room, keys, { tenant, endpointId });
  const { number, old } = await readJobSigning(room, tenant);
  const numbers = [number, ...old.map((one) => one.number)];
  const secrets = numbers.map((one) => tenantWebhookSecret(keys.master, tenant, one));
  return openReceiver({ url, secrets, headers: openHeaders(keys, tenant, headers) });
}

/** As it is now: a wrong URL, header or secret can be mended while deliveries wait. */
async function endpointOf(
  room: QueueRoom,
  keys: Keys,
  { tenant, endpointId }: { readonly tenant: string; readonly endpointId: string },
): Promise<Receiver> {
  const endpoint = await readEndpoint(room, tenant, endpointId);
  if (!endpoint) return { kind: "gone", why: "The endpoint was deleted" };
  const { status, disabledReason, url, sealedHeaders } = endpoint;
  if (status === "disabled") return { kind: "gone", why: `The endpoint is disabled: ${disabledReason}` };
  const valid = endpoint.secrets.filter(({ untilMs }) => untilMs === null || untilMs > nowMs());
  const secrets = valid.map(({ sealed }) => keys.box.open(sealed, tenant));
  return openReceiver({ url, secrets, headers: openHeaders(keys, tenant, sealedHeaders) });
}

function openHeaders({ box }: Keys, tenant: string, sealed: string | undefined): Readonly<Record<string, string>> {
  return sealed === undefined ? {} : OwnHeaders.parse(JSON.parse(box.open(sealed, tenant)));
}

/** @returns the receiver, with what hides its secrets in a text */
export function openReceiver(
  facts: Pick<Extract<Receiver, { kind: "open" }>, "url" | "secrets" | "headers">,
): Receiver {
  const secret = [...facts.secrets, ...Object.values(facts.headers).flatMap((value) => [value, ...value.split(" ")])];
  const hidden = secret.filter((part) => part.length >= SHORTEST_HIDDEN).sort((a, b) => b.length - a.length);
  const hide = (text: string) => hidden.reduce((left, part) => left.replaceAll(part, "[hidden]"), text);
  return { kind: "open", ...facts, hide };
}

/** What is shorter stands in every text: a `Bearer` before a token, a flag that says `1`. */
const SHORTEST_HIDDEN = 7;

/**
 * The `webhook-signature` of Standard Webhooks 1.0: one `v1,…` over `id.timestamp.body` for each secret, separated by
 * spaces; a receiver accepts the webhook when one of them is right.
 */
export function signatureOf(
  secrets: readonly string[],
  { eventId, at, body }: { readonly eventId: string; readonly at: Date; readonly body: string },
): string {
  return secrets.map((secret) => new Webhook(secret).sign(eventId, at, body)).join(" ");
}
