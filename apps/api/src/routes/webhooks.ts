import {
  NewWebhookEndpoint,
  toMoment,
  Uuid,
  WEBHOOK_LIMITS,
  WebhookEndpoint,
  WebhookEndpointChange,
  WebhookEndpointList,
  WebhookEndpointMade,
  type WebhookEvent,
} from "@comfyq/contract";
import { newId, nowMs } from "@comfyq/runtime";
import * as z from "zod";
import { readWish } from "../body/readWish.ts";
import { ApiError } from "../errors.ts";
import type { Rooms } from "../rooms.ts";
import { json, type Route, route } from "../route.ts";
import { checkWebhookUrl } from "../webhooks/checkWebhookUrl.ts";
import { changeEndpoint, makeEndpoint } from "../webhooks/makeEndpoint.ts";
import { changeOwnEndpoint, endpointIdOf, ownEndpoint, readOwnEndpoint } from "../webhooks/ownEndpoint.ts";
import { showEndpoint } from "../webhooks/showEndpoint.ts";

export const EndpointParams = z.object({ id: Uuid.meta({ description: "Id of a webhook endpoint" }) });

const EXAMPLE: z.input<typeof NewWebhookEndpoint> = {
  url: "https://example.com/comfyq",
  events: ["job.succeeded", "job.failed"],
  headers: { Authorization: "Bearer of-your-gateway" },
};

export const BODY_ERRORS = ["invalid_json", "invalid_request", "payload_too_large", "unsupported_media_type"] as const;

const TestSent = z
  .object({
    event_id: Uuid.meta({ description: "The webhook-id" }),
    delivery_id: Uuid.meta({ description: "What GET /v1/deliveries/{id} tells of it" }),
  })
  .meta({ id: "TestSent" });

const ABOUT = `It hears of every job of yours that is queued from then on. Its secret is in this answer and in no other; a lost
one is replaced with POST /v1/webhooks/{id}/rotate. At most ${WEBHOOK_LIMITS.endpoints} endpoints.`;

/** Endpoints that hear of all jobs of their tenant. */
export function webhookRoutes(rooms: Rooms): readonly Route[] {
  return [...collectionRoutes(rooms), ...endpointRoutes(rooms), ...stateRoutes(rooms)];
}

const shared = { scope: "admin", tag: "Webhooks and deliveries" } as const;
const ofOne = { ...shared, params: EndpointParams } as const;

function collectionRoutes(rooms: Rooms): readonly Route[] {
  const { secretBox: box } = rooms;
  return [
    route({
      ...shared,
      method: "post",
      path: "/v1/webhooks",
      summary: "Make a webhook endpoint",
      description: ABOUT,
      body: { "application/json": { schema: NewWebhookEndpoint, example: EXAMPLE } },
      answers: { 201: json("The endpoint, and its secret", WebhookEndpointMade) },
      errors: [...BODY_ERRORS, "conflict"],
      run: async (call) => {
        const form = { schema: NewWebhookEndpoint, example: '{"url": "https://…"}', undone: "made" } as const;
        const wish = await readWish(rooms, call, form);
        checkWebhookUrl(rooms, wish.url, { path: "url", undone: "made" });
        const { tenant } = call.caller;
        const { facts, secret } = makeEndpoint(wish, { box, tenant });
        await rooms.producer.webhooks.add(tenant, facts);
        call.res.set({ "Cache-Control": "no-store", Location: `${call.baseUrl}/v1/webhooks/${facts.id}` });
        call.res.status(201).json({ ...showEndpoint(facts), secret });
      },
    }),
    route({
      ...shared,
      method: "get",
      path: "/v1/webhooks",
      summary: "List your webhook endpoints",
      answers: { 200: json("All of them, oldest first", WebhookEndpointList) },
      run: async (call) => {
        const endpoints = await rooms.producer.webhooks.list(call.caller.tenant);
        call.res.json({ endpoints: endpoints.map(showEndpoint) });
      },
    }),
  ];
}

function endpointRoutes(rooms: Rooms): readonly Route[] {
  const { secretBox: box } = rooms;
  const path = "/v1/webhooks/{id}";
  return [
    route({
      ...ofOne,
      method: "get",
      path,
      summary: "Read a webhook endpoint",
      answers: { 200: json("The endpoint", WebhookEndpoint) },
      errors: ["not_found"],
      run: async (call) => void call.res.json(showEndpoint(await readOwnEndpoint(rooms, call))),
    }),
    route({
      ...ofOne,
      method: "put",
      path,
      summary: "Change a webhook endpoint",
      description:
        "What is left out stays as it is. Deliveries that wait go to the new url, with the new headers. Another host needs the headers again.",
      body: { "application/json": { schema: WebhookEndpointChange, example: { events: ["job.failed"] } } },
      answers: { 200: json("The endpoint as it is now", WebhookEndpoint) },
      errors: [...BODY_ERRORS, "not_found"],
      run: async (call) => {
        await readOwnEndpoint(rooms, call); // what is not there has no body to be judged
        const wish = await readWish(rooms, call, { schema: WebhookEndpointChange, example: '{"events": [ … ]}' });
        if (wish.url !== undefined) checkWebhookUrl(rooms, wish.url, { path: "url", undone: "changed" });
        const { tenant } = call.caller;
        const now = await changeOwnEndpoint(rooms, call, (facts) => changeEndpoint(facts, wish, { box, tenant }));
        call.res.json(showEndpoint(now));
      },
    }),
    route({
      ...ofOne,
      method: "delete",
      path,
      summary: "Delete a webhook endpoint",
      description: "What waits to be delivered to it is given up.",
      answers: { 204: { description: "It is gone" } },
      errors: ["not_found"],
      run: async (call) => {
        const id = endpointIdOf(call);
        const isGone = await rooms.producer.webhooks.remove(call.caller.tenant, id);
        ownEndpoint(id, isGone ? true : undefined);
        call.res.status(204).end();
      },
    }),
  ];
}

function stateRoutes(rooms: Rooms): readonly Route[] {
  return [
    route({
      ...ofOne,
      method: "post",
      path: "/v1/webhooks/{id}/enable",
      summary: "Enable a webhook endpoint again",
      description: "After it was disabled. What happened meanwhile was not queued for it. Safe to repeat.",
      answers: { 200: json("The endpoint as it is now", WebhookEndpoint) },
      errors: ["not_found"],
      run: async (call) => {
        const id = endpointIdOf(call);
        const now = ownEndpoint(id, await rooms.producer.webhooks.enable(call.caller.tenant, id));
        call.res.json(showEndpoint(now));
      },
    }),
    route({
      ...ofOne,
      method: "post",
      path: "/v1/webhooks/{id}/test",
      summary: "Send a test event to a webhook endpoint",
      description: "Of type webhook.test: signed, sent, tried again and logged like any other.",
      answers: { 202: json("It is queued", TestSent) },
      errors: ["not_found", "conflict"],
      run: async (call) => {
        const endpoint = await readOwnEndpoint(rooms, call);
        if (endpoint.status === "disabled")
          throw new ApiError("conflict", "The endpoint is disabled; enable it first: POST /v1/webhooks/{id}/enable");
        const event = testEvent(endpoint.id);
        const delivery_id = await rooms.producer.webhooks.send(call.caller.tenant, endpoint, event);
        call.res.status(202).json({ event_id: event.id, delivery_id });
      },
    }),
  ];
}

function testEvent(endpoint_id: string): WebhookEvent {
  const message = "This endpoint is heard. Nothing happened, and there is nothing to do";
  const named = { v: 1, id: newId(), timestamp: toMoment(nowMs()), type: "webhook.test" } as const;
  return { ...named, data: { endpoint_id, message } };
}
