import { createAddressRules } from "@comfyq/runtime";
import { ApiError } from "../errors.ts";
import type { Rooms } from "../rooms.ts";

/**
 * Says at once what a delivery would find out days later: an address that may never be reached. What a name resolves to is
 * judged at every delivery.
 * @throws ApiError `invalid_request`
 */
export function checkWebhookUrl({ settings }: Rooms, url: string): void {
  const rules = createAddressRules({
    allowHosts: settings.COMFYQ_ALLOW_HOSTS,
    schemes: ["http:", "https:"],
    ports: [80, 443],
  });
  const address = new URL(url);
  const refusal = rules.refuseUrl(address);
  if (!refusal) return;
  const message = `${address.hostname} ${refusal.why}; an operator can open it with COMFYQ_ALLOW_HOSTS`;
  throw new ApiError("invalid_request", `Nothing was changed: webhooks cannot be sent there: ${message}`, {
    details: [{ path: "url", message: refusal.why }],
  });
}
