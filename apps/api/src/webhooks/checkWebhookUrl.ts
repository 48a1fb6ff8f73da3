import { ApiError } from "../errors.ts";
import type { Rooms } from "../rooms.ts";

interface WebhookPlace {
  /** Of the address, in the body. */
  readonly path: "url" | "webhook.url";
  /** What was not done, in a word, where that is not said already. */
  readonly undone?: "made" | "changed" | "queued";
}

/**
 * Says at once what a delivery would find out days later: an address that may never be reached. What a name resolves to is
 * judged at every delivery.
 * @throws ApiError `invalid_request`
 */
export function checkWebhookUrl({ webhookAddresses }: Rooms, url: string, place: WebhookPlace): void {
  const address = new URL(url);
  const refusal = webhookAddresses.refuseUrl(address);
  if (!refusal) return;
  const advice = refusal.code === "address_refused" ? "; an operator can open it with COMFYQ_ALLOW_HOSTS" : "";
  const lead = place.undone === undefined ? "Webhooks" : `Nothing was ${place.undone}: webhooks`;
  throw new ApiError("invalid_request", `${lead} cannot be sent there: ${address.hostname} ${refusal.why}${advice}`, {
    details: [{ path: place.path, message: refusal.why }],
  });
}
