import * as z from "zod";
import { Moment, Uuid } from "./ids.ts";
import { Job } from "./job.ts";
import type { TerminalStatus } from "./jobStatus.ts";

export const WEBHOOK_EVENT_TYPES = [
  "job.started",
  "job.succeeded",
  "job.failed",
  "job.canceled",
  "job.expired",
] as const;
export const WebhookEventType = z.enum(WEBHOOK_EVENT_TYPES);
export type WebhookEventType = z.infer<typeof WebhookEventType>;

/** Who is to be told about one job. Without `events`: every way it can end. */
export const WebhookRequest = z.strictObject({
  url: z.url({ protocol: /^https?$/ }).max(2_048),
  events: z.array(WebhookEventType).min(1).default(["job.succeeded", "job.failed", "job.canceled", "job.expired"]),
});
export type WebhookRequest = z.infer<typeof WebhookRequest>;

/** The body of a webhook. Its bytes are the same on every delivery; `webhook-id` is `id` (Standard Webhooks 1.0). */
export const WebhookEvent = z
  .object({
    v: z.literal(1),
    id: Uuid.meta({ description: "Id of the event: the same on every try; use it to ignore repeats" }),
    type: WebhookEventType,
    timestamp: Moment.meta({ description: "When the event happened" }),
    data: z.object({ job: Job }),
  })
  .meta({ id: "WebhookEvent" });
export type WebhookEvent = z.infer<typeof WebhookEvent>;

/** The event that tells of an end. */
export function terminalEvent(status: TerminalStatus): WebhookEventType {
  return `job.${status}`;
}
