import { WebhookEventType } from "@comfyq/contract";
import * as z from "zod";
import type { Delivery } from "./envelopes.ts";

/** What lists show of a delivery, and find it by; its body stays in the BullJob. Empty text: none. */
const DeliveryHead = z.object({
  tenant: z.string(),
  event: z.string(),
  type: WebhookEventType,
  url: z.string(),
  job: z.string().transform(orNull),
  endpoint: z.string().transform(orNull),
  created: z.coerce.number(),
});
export type DeliveryHead = z.output<typeof DeliveryHead>;

/** The fields of the hash. */
export const HEAD_FIELDS = ["tenant", "event", "type", "url", "job", "endpoint", "created"] as const;

/** As it is written; `created` is written once, beside it. */
export function headOf({ tenant, eventId, type, url, jobId, endpointId }: Delivery): Readonly<Record<string, string>> {
  return { tenant, event: eventId ?? "", type, url: shownUrl(url), job: jobId ?? "", endpoint: endpointId ?? "" };
}

/** @returns undefined for what was swept, or is of a version that wrote none */
export function parseHead(values: readonly (string | null)[]): DeliveryHead | undefined {
  return DeliveryHead.safeParse(Object.fromEntries(HEAD_FIELDS.map((field, at) => [field, values[at]]))).data;
}

function orNull(text: string): string | null {
  return text === "" ? null : text;
}

/** Without user, password, values of its query and fragment: those can be secrets, and lists are read by many. */
function shownUrl(url: string): string {
  const parsed = URL.parse(url);
  if (!parsed) return "";
  const query = [...parsed.searchParams.keys()].map((name) => `${encodeURIComponent(name)}=*`).join("&");
  return `${parsed.origin}${parsed.pathname}${query === "" ? "" : `?${query}`}`;
}
