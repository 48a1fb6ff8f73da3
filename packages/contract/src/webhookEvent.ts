import * as z from "zod";
import { Batch } from "./batch.ts";
import { Moment, PoolName, Uuid } from "./ids.ts";
import { Job } from "./job.ts";
import { ScheduleName } from "./jobOrigin.ts";
import type { TerminalStatus } from "./jobStatus.ts";
import { ShownOutput } from "./progress.ts";
import { WebhookHeaders, WebhookMetadata, WebhookUrl } from "./webhookHeaders.ts";

/** What happens to one job. `progress` and `output` come only to those who name them. */
export const JOB_EVENT_TYPES = [
  "job.queued",
  "job.started",
  "job.progress",
  "job.output",
  "job.succeeded",
  "job.failed",
  "job.canceled",
  "job.expired",
] as const;
export const JobEventType = z.enum(JOB_EVENT_TYPES);
export type JobEventType = z.infer<typeof JobEventType>;

export const WEBHOOK_EVENT_TYPES = [
  ...JOB_EVENT_TYPES,
  "batch.completed",
  "schedule.missed",
  "queue.idle",
  "webhook.disabled",
  "webhook.test",
] as const;
export const WebhookEventType = z.enum(WEBHOOK_EVENT_TYPES);
export type WebhookEventType = z.infer<typeof WebhookEventType>;

/** What a receiver is told without asking for it by name: every way that things can end. */
export const DEFAULT_EVENTS = ["job.succeeded", "job.failed", "job.canceled", "job.expired"] as const;

/** What stands in the body of a webhook. */
export const WebhookFormat = z.enum(["event", "comfyicu"]);
export type WebhookFormat = z.infer<typeof WebhookFormat>;

/** Who is to be told about one job. Without `events`: every way it can end. */
export const WebhookRequest = z.strictObject({
  url: WebhookUrl,
  events: z
    .array(JobEventType)
    .min(1)
    .default([...DEFAULT_EVENTS]),
  format: WebhookFormat.optional().meta({
    description: "event (the default): the event. comfyicu: the job as ComfyICU's run object, and nothing around it",
  }),
  headers: WebhookHeaders.optional(),
  metadata: WebhookMetadata.optional(),
});
export type WebhookRequest = z.infer<typeof WebhookRequest>;

const envelope = {
  v: z.literal(1),
  id: Uuid.meta({ description: "Id of the event: the same on every try; use it to ignore repeats" }),
  timestamp: Moment.meta({ description: "When the event happened" }),
  metadata: z
    .record(z.string(), z.unknown())
    .optional()
    .meta({ description: "That of the endpoint, or of the webhook that was named with the job" }),
};

const JobEventBody = z.object({
  ...envelope,
  type: JobEventType.exclude(["job.output"]),
  data: z.object({ job: Job }),
});

const JobOutputBody = z.object({
  ...envelope,
  type: z.literal("job.output"),
  data: z.object({
    job: Job,
    output: ShownOutput.meta({ description: "What was stored just now; it can be fetched when the job has succeeded" }),
  }),
});

const BatchCompletedBody = z.object({
  ...envelope,
  type: z.literal("batch.completed"),
  data: z.object({ batch: Batch }),
});

const ScheduleMissedBody = z.object({
  ...envelope,
  type: z.literal("schedule.missed"),
  data: z.object({
    schedule: ScheduleName,
    tick_at: Moment.meta({ description: "The newest of the moments that made no job" }),
    count: z.int().positive().meta({ description: "How many moments this event stands for" }),
    reason: z.string().meta({ description: "Why: what happened, and what to do" }),
  }),
});

const QueueIdleBody = z.object({
  ...envelope,
  type: z.literal("queue.idle"),
  data: z.object({ pool: PoolName.meta({ description: "Where no job of yours waits or runs any more" }) }),
});

const WebhookDisabledBody = z.object({
  ...envelope,
  type: z.literal("webhook.disabled"),
  data: z.object({
    endpoint_id: Uuid,
    url: z.string(),
    reason: z.string().meta({ description: "Why nothing is sent to it any more, and what to do" }),
  }),
});

const WebhookTestBody = z.object({
  ...envelope,
  type: z.literal("webhook.test"),
  data: z.object({ endpoint_id: Uuid, message: z.string() }),
});

/** The body of a webhook. Its bytes are the same on every delivery; `webhook-id` is `id` (Standard Webhooks 1.0). */
export const WebhookEvent = z
  .discriminatedUnion("type", [
    JobEventBody,
    JobOutputBody,
    BatchCompletedBody,
    ScheduleMissedBody,
    QueueIdleBody,
    WebhookDisabledBody,
    WebhookTestBody,
  ])
  .meta({ id: "WebhookEvent" });
export type WebhookEvent = z.infer<typeof WebhookEvent>;

/** The job that an event is about; undefined for one of a batch, a schedule or a queue. */
export function jobOf({ data }: WebhookEvent): Job | undefined {
  return "job" in data ? data.job : undefined;
}

/** The event that tells of an end. */
export function terminalEvent(status: TerminalStatus): Extract<JobEventType, `job.${TerminalStatus}`> {
  return `job.${status}`;
}
