import { createAddressRules } from "@comfyq/runtime";
import { ApiError } from "../errors.ts";
import type { Rooms } from "../rooms.ts";

/**
 * Says at once what a delivery would find out days later: an address that may never be reached. What a name resolves to is
 * judged at every delivery.
 * @param undone what was not done, in a word
 * @throws ApiError `invalid_request`
 */
export function checkWebhookUrl({ settings }: Rooms, url: string, undone: "made" | "changed"): void {
  const rules = createAddressRules({
    allowHosts: settings.COMFYQ_ALLOW_HOSTS,
    schemes: ["http:", "https:"],
    ports: [80, 443],
  });
  const address = new URL(url);
  const refusal = rules.refuseUrl(address);
  if (!refusal) return;
  const advice = refusal.code === "address_refused" ? "; an operator can open it with COMFYQ_ALLOW_HOSTS" : "";
  const message = `webhooks cannot be sent there: ${address.hostname} ${refusal.why}${advice}`;
  throw new ApiError("invalid_request", `Nothing was ${undone}: ${message}`, {
    details: [{ path: "url", message: refusal.why }],
  });
}
