import {
  Delivery,
  DeliveryDetail,
  DeliveryPage,
  DeliveryStatus,
  fromMoment,
  Moment,
  RedeliverReport,
  RedeliverRequest,
  Uuid,
  WebhookEventType,
} from "@comfyq/contract";
import * as z from "zod";
import { readWish } from "../body/readWish.ts";
import { orNotFound } from "../errors.ts";
import { PageCursor } from "../pageCursor.ts";
import { pathId } from "../pathId.ts";
import type { Rooms } from "../rooms.ts";
import { json, type Route, route } from "../route.ts";

const DeliveryParams = z.object({ id: Uuid });

const Query = z.strictObject({
  status: DeliveryStatus.optional().meta({ description: "Only deliveries that are in this status now" }),
  endpoint: Uuid.optional().meta({ description: "Only those to this endpoint" }),
  job: Uuid.optional().meta({ description: "Only those about this job" }),
  type: WebhookEventType.optional(),
  since: Moment.optional().meta({ description: "Only deliveries made at this moment or later" }),
  until: Moment.optional().meta({ description: "Only deliveries made before this moment" }),
  limit: z.coerce.number().int().min(1).max(100).default(20).meta({ description: "Deliveries on one page" }),
  cursor: PageCursor.optional(),
});

const EXAMPLE: z.input<typeof RedeliverRequest> = { since: "2026-12-01T09:00:00Z", dry_run: true };

/** What was told to whom, what came of it, and telling it again. */
export function deliveryRoutes(rooms: Rooms): readonly Route[] {
  return [listRoute(rooms), redeliverManyRoute(rooms), showRoute(rooms), redeliverRoute(rooms)];
}

function listRoute(rooms: Rooms): Route {
  return route({
    method: "get",
    path: "/v1/deliveries",
    scope: "read",
    tag: "Webhooks and deliveries",
    summary: "List deliveries of webhooks, newest first",
    description: "With a filter a page can be short and still have a next one: go on until next_cursor is null.",
    query: Query,
    answers: { 200: json("One page", DeliveryPage) },
    errors: ["invalid_request"],
    run: async (call) => {
      const { status, endpoint, job, type, since, until, limit, cursor } = call.query;
      const page = await rooms.producer.listDeliveries({
        tenant: call.caller.tenant,
        status,
        type,
        endpointId: endpoint,
        jobId: job,
        sinceMs: fromMoment(since),
        untilMs: fromMoment(until),
        limit,
        cursor,
      });
      call.res.json({ deliveries: [...page.deliveries], next_cursor: page.nextCursor ?? null } satisfies DeliveryPage);
    },
  });
}

function showRoute(rooms: Rooms): Route {
  return route({
    method: "get",
    path: "/v1/deliveries/{id}",
    scope: "read",
    tag: "Webhooks and deliveries",
    summary: "Read a delivery: every try, what the receiver answered, and the body as it is sent",
    params: DeliveryParams,
    answers: { 200: json("The delivery", DeliveryDetail) },
    errors: ["not_found"],
    run: async (call) => {
      const id = pathId(call, "delivery");
      call.res.json(orNotFound("delivery", id, await rooms.producer.readDelivery(call.caller.tenant, id)));
    },
  });
}

function redeliverRoute(rooms: Rooms): Route {
  return route({
    method: "post",
    path: "/v1/deliveries/{id}/redeliver",
    scope: "submit",
    tag: "Webhooks and deliveries",
    summary: "Send a delivery again",
    description:
      "Whatever became of it: the same webhook-id and the same bytes, with all its tries anew. One that waits for its next " +
      "try is tried now.",
    params: DeliveryParams,
    answers: { 200: json("The delivery, on its way", Delivery) },
    errors: ["not_found", "conflict"],
    run: async (call) => {
      const id = pathId(call, "delivery");
      call.res.json(orNotFound("delivery", id, await rooms.producer.redeliver(call.caller.tenant, id)));
    },
  });
}

const FORM = {
  schema: RedeliverRequest.safeExtend({ cursor: PageCursor.optional() }),
  example: '{"since": "2026-12-01T09:00:00Z"}',
  undone: "sent again",
};

function redeliverManyRoute(rooms: Rooms): Route {
  return route({
    method: "post",
    path: "/v1/deliveries/redeliver",
    scope: "submit",
    tag: "Webhooks and deliveries",
    summary: "Send failed deliveries again, all that match",
    description:
      "All that failed and were made since a moment, oldest first: after a receiver was away for long. Safe to repeat: what is " +
      "on its way again has not failed. An answer can be shorter than the limit and still have a next_cursor.",
    body: { "application/json": { schema: RedeliverRequest, example: EXAMPLE } },
    answers: { 200: json("What is sent again, or would be", RedeliverReport) },
    errors: ["invalid_json", "invalid_request", "payload_too_large", "unsupported_media_type"],
    run: async (call) => {
      const request = await readWish(rooms, call, FORM);
      const { ids, nextCursor } = await rooms.producer.redeliverFailed({
        tenant: call.caller.tenant,
        sinceMs: Date.parse(request.since),
        untilMs: fromMoment(request.until),
        endpointId: request.endpoint,
        type: request.type,
        limit: request.limit,
        cursor: request.cursor,
        isDryRun: request.dry_run,
      });
      const report = { matched: ids.length, deliveries: [...ids], next_cursor: nextCursor ?? null };
      call.res.json(report satisfies RedeliverReport);
    },
  });
}
