import type { Delivery } from "@comfyq/queue";
import { type SecretBox, tenantWebhookSecret } from "@comfyq/runtime";
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

/** @throws SecretBoxError when the headers were sealed with another key */
export async function receiverOf({ box, master }: Keys, delivery: Delivery): Promise<Receiver> {
  const { tenant, url, headers: sealed } = delivery;
  const headers = sealed === undefined ? {} : OwnHeaders.parse(JSON.parse(box.open(sealed, tenant)));
  return open({ url, secrets: [tenantWebhookSecret(master, tenant)], headers });
}

function open(facts: Pick<Extract<Receiver, { kind: "open" }>, "url" | "secrets" | "headers">): Receiver {
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
