import * as z from "zod";
import { JobId, Moment, Uuid } from "./ids.ts";
import { WebhookEventType } from "./webhookEvent.ts";

/**
 * `pending`: waits for its first or next try, or is being sent; `delivered`: answered with 2xx; `failed`: given up, can be
 * sent again; `dropped`: nobody wants it any more, such as progress of a job that has ended.
 */
export const DELIVERY_STATUSES = ["pending", "delivered", "failed", "dropped"] as const;
export const DeliveryStatus = z.enum(DELIVERY_STATUSES);
export type DeliveryStatus = z.infer<typeof DeliveryStatus>;

/** Most bytes that are kept of a receiver's answer. */
export const KEPT_ANSWER_BYTES = 512;

export const DeliveryTry = z
  .object({
    number: z.int().positive().meta({ description: "From 1; counts on when a delivery is sent again" }),
    at: Moment,
    dispatcher: z.string().meta({ description: "The process that sent it" }),
    status: z.int().nullable().meta({ description: "What the receiver answered; null when it did not" }),
    code: z
      .string()
      .nullable()
      .meta({
        description:
          "What came of it: delivered, not_accepted, gone, redirect_refused, timed_out, idle, unreachable, address_refused, " +
          "bad_url, endpoint_disabled, internal. Null: under way, or its dispatcher died, and nobody knows whether it arrived",
      }),
    latency_ms: z
      .int()
      .nonnegative()
      .nullable()
      .meta({ description: "Until the answer's head, or until it was given up" }),
    answer: z
      .string()
      .nullable()
      .meta({ description: `First ${KEPT_ANSWER_BYTES} bytes of the answer, without control characters` }),
    message: z.string().nullable().meta({ description: "What went wrong, and what to do" }),
  })
  .meta({ id: "DeliveryTry" });
export type DeliveryTry = z.infer<typeof DeliveryTry>;

/** One event on its way to one receiver. */
export const Delivery = z
  .object({
    id: Uuid,
    event_id: Uuid.meta({ description: "The webhook-id that the receiver sees" }),
    type: WebhookEventType,
    status: DeliveryStatus,
    url: z.string().meta({ description: "Where it goes; values in its query are not shown" }),
    endpoint_id: Uuid.nullable().meta({ description: "Null: the webhook that was named with a job" }),
    job_id: JobId.nullable().meta({ description: "The job that the event is about" }),
    created_at: Moment,
    next_try_at: Moment.nullable().meta({ description: "Null when it has ended, or is next" }),
    tries_made: z.int().nonnegative(),
    last_try: DeliveryTry.nullable(),
    reason: z.string().nullable().meta({ description: "Why it failed or was dropped" }),
  })
  .meta({ id: "Delivery" });
export type Delivery = z.infer<typeof Delivery>;

export const DeliveryPage = z
  .object({ deliveries: z.array(Delivery), next_cursor: z.string().nullable() })
  .meta({ id: "DeliveryPage" });
export type DeliveryPage = z.infer<typeof DeliveryPage>;

/** A delivery with all that is known of it. */
export const DeliveryDetail = Delivery.extend({
  tries: z.array(DeliveryTry).meta({ description: "Oldest first; of very many the newest 50" }),
  body: z.string().meta({ description: "The very bytes that are sent, as text" }),
}).meta({ id: "DeliveryDetail" });
export type DeliveryDetail = z.infer<typeof DeliveryDetail>;

/** Most deliveries that one request sends again; the answer's cursor leads on. */
export const REDELIVER_LIMIT = 1_000;

/** Which failed deliveries are to be sent again. */
export const RedeliverRequest = z
  .strictObject({
    since: Moment.meta({ description: "Only deliveries made at this moment or later" }),
    until: Moment.optional().meta({ description: "Only deliveries made before this moment" }),
    endpoint: Uuid.optional().meta({ description: "Only those of this endpoint" }),
    type: WebhookEventType.optional(),
    limit: z.int().min(1).max(REDELIVER_LIMIT).default(REDELIVER_LIMIT),
    cursor: z.string().min(1).max(256).optional().meta({ description: "next_cursor of the answer before" }),
    dry_run: z.boolean().default(false).meta({ description: "Tell what would be sent again, and change nothing" }),
  })
  .meta({ id: "RedeliverRequest" });
export type RedeliverRequest = z.infer<typeof RedeliverRequest>;

export const RedeliverReport = z
  .object({
    matched: z.int().nonnegative(),
    deliveries: z.array(Uuid).meta({ description: "Ids of those that are sent again, or would be, newest first" }),
    next_cursor: z.string().nullable().meta({
      description: "There may be more: send the same request with this as `cursor`. Null: that was all",
    }),
  })
  .meta({ id: "RedeliverReport" });
export type RedeliverReport = z.infer<typeof RedeliverReport>;
