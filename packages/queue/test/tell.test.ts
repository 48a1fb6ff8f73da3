import { randomUUID } from "node:crypto";
import type { WebhookEvent } from "@comfyq/contract";
import { afterAll, expect, test } from "vitest";
import { deliveryId } from "../src/deliveries.ts";
import type { EndpointFacts } from "../src/endpointFacts.ts";
import { disableEndpoint, readEndpoint } from "../src/endpoints.ts";
import { Delivery } from "../src/envelopes.ts";
import { tell } from "../src/tell.ts";
import { endpointFacts, setup } from "./setup.ts";

const own = await setup();
const { room } = await own.claimer();
afterAll(() => own[Symbol.asyncDispose]());

async function addEndpoint(tenant: string, { events = ["queue.idle"], ...more }: Partial<EndpointFacts> = {}) {
  const facts = endpointFacts(events, more);
  await own.producer.webhooks.add(tenant, facts);
  return facts;
}

function idleEvent(): WebhookEvent {
  const named = { v: 1, id: randomUUID(), timestamp: "2026-01-01T00:00:00Z", type: "queue.idle" } as const;
  return { ...named, data: { pool: "default" } };
}

async function deliveries(event: WebhookEvent) {
  const jobs = await room.deliveries.getJobs(["waiting", "active", "delayed", "completed", "failed"]);
  return jobs.map((job) => ({ id: job.id, ...Delivery.parse(job.data) })).filter(({ eventId }) => eventId === event.id);
}

test("an event goes once to each endpoint of its tenant that wants it, however often it is told", async () => {
  const [a, b] = [await addEndpoint("one", { metadata: { a: 1 } }), await addEndpoint("one")];
  await addEndpoint("one", { events: ["job.failed"] });
  await addEndpoint("two");
  const event = idleEvent();
  const webhook = { url: "https://example.com/named", events: ["queue.idle"], sealedHeaders: "v1.sealed" };
  await Promise.all([1, 2, 3].map(() => tell(room, event, { tenant: "one", webhook })));
  expect(await tell(room, event, { tenant: "one", webhook: { ...webhook, events: [] } })).toBe(2);
  const queued = await deliveries(event);
  expect(new Set(queued.map(({ id }) => id))).toEqual(
    new Set([null, a.id, b.id].map((id) => deliveryId(event.id, id))),
  );
  const bodies = queued.map(({ endpointId, body }) => [endpointId, JSON.parse(body).metadata]);
  expect(new Map(bodies as [string | null, unknown][])).toEqual(
    new Map([
      [null, undefined],
      [a.id, { a: 1 }],
      [b.id, {}],
    ]),
  );
  expect(queued.find(({ endpointId }) => endpointId === null)).toMatchObject({
    url: webhook.url,
    headers: "v1.sealed",
  });
});

test("told again after a crash between two of them, only who had not been told is", async () => {
  await Promise.all([addEndpoint("three"), addEndpoint("three")]);
  const event = idleEvent();
  const dies = { tenant: "three", onQueued: () => Promise.reject(new Error("killed")) };
  await expect(tell(room, event, dies)).rejects.toThrow("killed");
  expect(await deliveries(event)).toHaveLength(1);
  await tell(room, event, { tenant: "three" });
  expect(await deliveries(event)).toHaveLength(2);
});

test("a disabled endpoint is told nothing, and keeps the first reason; another tenant can disable nothing", async () => {
  const { id } = await addEndpoint("four");
  expect(await disableEndpoint(room, "three", id, "not theirs")).toBe(false);
  expect(await tell(room, idleEvent(), { tenant: "four" })).toBe(1);
  const answers = await Promise.all(["first", "second"].map((reason) => disableEndpoint(room, "four", id, reason)));
  expect(answers.filter(Boolean)).toEqual([true]);
  expect(await readEndpoint(room, "four", id)).toMatchObject({ status: "disabled", disabledAtMs: expect.any(Number) });
  expect(await tell(room, idleEvent(), { tenant: "four" })).toBe(0);
});

test("what the endpoints of a tenant want together follows every change of one", async () => {
  const wanted = async () => (await room.redis.smembers(room.names.wanted("five"))).sort();
  const a = await addEndpoint("five", { events: ["job.failed", "queue.idle"] });
  const b = await addEndpoint("five", { events: ["job.failed"] });
  expect(await wanted()).toEqual(["job.failed", "queue.idle"]);
  await disableEndpoint(room, "five", a.id, "gone");
  expect(await wanted()).toEqual(["job.failed"]);
  await own.producer.webhooks.change("five", b.id, (facts) => ({ ...facts, events: ["job.started"] }));
  expect(await wanted()).toEqual(["job.started"]);
  await Promise.all([a, b].map(({ id }) => own.producer.webhooks.remove("five", id)));
  expect(await room.redis.exists(room.names.wanted("five"), room.names.endpoints("five"))).toBe(0);
});
