import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DeliveryDetail, DeliveryPage, RedeliverReport, SCOPES, type WebhookEvent } from "@comfyq/contract";
import { type Errands, openErrands, queueDelivery, type TryReport } from "@comfyq/queue";
import { startPrivateRedis } from "@comfyq/queue/testing";
import { afterAll, expect, test, vi } from "vitest";
import { bearer, problem, setup, writeKeys } from "./setup.ts";

const PREFIX = "told";
const patience = { timeout: 20_000, interval: 20 };
const redis = await startPrivateRedis();
const dataDir = await mkdtemp(join(tmpdir(), "comfyq-deliveries-"));
const [own = "", foreign = ""] = await writeKeys(
  join(dataDir, "keys.json"),
  ["acme", "other"].map((tenant) => ({ tenant, scopes: SCOPES })),
);
const api = await setup({ redis, dataDir, env: { COMFYQ_PREFIX: PREFIX } });
let isUp = true;
const errands = await openDispatcher();
afterAll(async () => {
  await errands.close();
  await api[Symbol.asyncDispose]();
  await redis.close();
  await rm(dataDir, { recursive: true, force: true });
});

/** A dispatcher whose receivers are up or not. */
function openDispatcher(): Promise<Errands> {
  const shared = { latencyMs: 1, isAnswered: true, answer: "as you wish" };
  const fine: TryReport = { ...shared, status: 200, code: "delivered", message: null, verdict: { kind: "delivered" } };
  const gone: TryReport = { ...shared, status: 410, code: "gone", message: "it is gone", verdict: { kind: "give_up" } };
  const idle = async () => {};
  const delivery = async () => (isUp ? fine : gone);
  return openErrands({
    redisUrl: redis.url,
    prefix: PREFIX,
    run: { settlement: idle, answer: idle, errand: idle, tick: idle, delivery },
  });
}

async function tell(tenant = "acme"): Promise<string> {
  // What the queue looks at of an event.
  const event = { v: 1, id: randomUUID(), type: "job.failed", data: { job: { id: randomUUID() } } } as WebhookEvent;
  await queueDelivery(errands.room, event, { tenant, url: "https://a.example/?key=word", endpointId: null });
  return event.id;
}

const get = (path: string, key = own) => api.call(path, { headers: bearer(key) });

async function untilStatus(id: string, status: string): Promise<DeliveryDetail> {
  return vi.waitFor(async () => {
    const delivery = DeliveryDetail.parse((await get(`/v1/deliveries/${id}`)).json);
    expect(delivery.status).toBe(status);
    return delivery;
  }, patience);
}

test("a delivery shows its tries, what was answered and the bytes that were sent", async () => {
  const id = await tell();
  const delivery = await untilStatus(id, "delivered");
  expect(delivery).toMatchObject({ url: "https://a.example/?key=*", tries: [{ status: 200, answer: "as you wish" }] });
  expect(JSON.parse(delivery.body)).toMatchObject({ id });
});

test("what failed is listed, and sent again: one, or all since a moment, of the caller's tenant only", async () => {
  const since = new Date().toISOString();
  isUp = false;
  const [one, two, theirs] = [await tell(), await tell(), await tell("other")];
  await untilStatus(one, "failed");
  await untilStatus(two, "failed");
  const failed = DeliveryPage.parse((await get(`/v1/deliveries?status=failed&since=${since}`)).json);
  expect(failed.deliveries.map(({ id }) => id)).toEqual([two, one]);
  const foreigner = await api.post(`/v1/deliveries/${one}/redeliver`, {}, bearer(foreign));
  expect(problem(foreigner).status).toBe(404);
  isUp = true;
  expect((await api.post(`/v1/deliveries/${one}/redeliver`, {}, bearer(own))).status).toBe(200);
  expect((await untilStatus(one, "delivered")).tries_made).toBe(2);
  const dry = await api.post("/v1/deliveries/redeliver", { since, dry_run: true }, bearer(own));
  expect(RedeliverReport.parse(dry.json)).toEqual({ matched: 1, deliveries: [two], next_cursor: null });
  await api.post("/v1/deliveries/redeliver", { since }, bearer(own));
  await untilStatus(two, "delivered");
  expect((await get(`/v1/deliveries/${theirs}`, foreign)).json.status).toBe("failed");
});

test("a request to send again that names no moment, or what is not known, sends nothing and says what is wrong", async () => {
  const bad = async (body: unknown) => problem(await api.post("/v1/deliveries/redeliver", body, bearer(own)));
  expect(await bad({})).toMatchObject({
    status: 422,
    code: "invalid_request",
    message: expect.stringContaining("since"),
  });
  expect(await bad({ since: "yesterday" })).toMatchObject({ status: 422 });
  expect(await bad({ since: "2026-01-01T00:00:00Z", tenant: "other" })).toMatchObject({ status: 422 });
  expect(problem(await get("/v1/deliveries?status=gone"))).toMatchObject({ status: 422, code: "invalid_request" });
});
