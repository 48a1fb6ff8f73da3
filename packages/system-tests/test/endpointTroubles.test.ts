import type { DeliveryDetail, DeliveryPage, WebhookEndpoint } from "@comfyq/contract";
import { afterAll, afterEach, expect, test, vi } from "vitest";
import { type Ears, growEars } from "./endpointEars.ts";
import { example } from "./graphs.ts";
import { readJson, setup } from "./setup.ts";
import { HOUR_MS, SHIFTED_CLOCK } from "./shiftedClock.ts";
import { type Received, verifies } from "./webhookSink.ts";

const DAY_MS = 24 * HOUR_MS;
/** Where the dispatcher's clock stands after each `jump`; after the last it is right again. */
const JUMPS = [1, 2, 13, 13 + 5 * 24 + 1, 13 + 6 * 24 + 2, 0, 2].map((hours) => hours * HOUR_MS);
const system = await setup({
  timeScale: 0.2,
  workers: 0,
  env: { ...SHIFTED_CLOCK, CLOCK_JUMPS_MS: JUMPS.join(",") },
});
afterAll(() => system[Symbol.asyncDispose]());
afterEach(() => {
  vi.useRealTimers();
});

const patience = { timeout: 60_000, interval: 50 };

/** Hours or days pass for the dispatcher, at once; it is woken, for BullMQ sleeps until what was the next moment. */
async function jump(): Promise<void> {
  process.kill(system.dispatcher.pid, "SIGUSR2");
  await system.redisCommand("ZADD", "comfyq:deliveries:marker", "0", "0");
}

/** A job that ends at once: nobody takes jobs of this pool, so it waits until it is canceled. */
async function cancelOne(more: object = {}): Promise<string> {
  const { id } = await system.submit({ workflow: example("model-free"), pool: "nobody", ...more });
  await system.post(`/v1/jobs/${id}/cancel`);
  return id;
}

const read = ({ id }: Ears) => readJson<WebhookEndpoint>(system.get(`/v1/webhooks/${id}`));

/** The deliveries to an endpoint, with their logs, oldest first. */
async function deliveriesTo({ id }: Ears): Promise<readonly DeliveryDetail[]> {
  const { deliveries } = await readJson<DeliveryPage>(system.get(`/v1/deliveries?endpoint=${id}`));
  return Promise.all(
    deliveries.toReversed().map((one) => readJson<DeliveryDetail>(system.get(`/v1/deliveries/${one.id}`))),
  );
}

async function untilDisabled(ears: Ears): Promise<WebhookEndpoint> {
  return vi.waitFor(async () => {
    const endpoint = await read(ears);
    expect(endpoint.status).toBe("disabled");
    return endpoint;
  }, patience);
}

/** Does the official library accept it, at the moment that the dispatcher's clock showed? */
function verifiesThen(secret: string, arrival: Received): boolean {
  vi.setSystemTime(Number(arrival.headers["webhook-timestamp"]) * 1_000);
  try {
    return verifies(secret, arrival);
  } finally {
    vi.useRealTimers();
  }
}

async function disabledTotal(): Promise<number> {
  const page = await (await fetch(`${String(system.dispatcher.ready["health"])}/metrics`)).text();
  return Number(/^comfyq_webhook_endpoints_disabled_total (\d+)$/m.exec(page)?.[1]);
}

test("an endpoint that answers 410 is disabled, says why, and gets no more; others hear on, and enabled again it does, too", async () => {
  const [gone, other] = [
    await growEars(system),
    await growEars(system, { events: ["job.canceled", "webhook.disabled"] }),
  ];
  gone.answerWith(410);
  await cancelOne();
  const endpoint = await untilDisabled(gone);
  expect(endpoint.disabled_reason).toContain("410 Gone");
  expect(Number.isNaN(Date.parse(String(endpoint.disabled_at)))).toBe(false);
  const { endpoints } = await readJson<{ endpoints: WebhookEndpoint[] }>(system.get("/v1/webhooks"));
  expect(endpoints.map(({ status }) => status)).toEqual(["disabled", "enabled"]);
  expect(system.dispatcher.log()).toContain("a webhook endpoint was disabled");
  expect(await disabledTotal()).toBe(1);
  expect((await system.post(`/v1/webhooks/${gone.id}/test`)).status).toBe(409);
  await vi.waitFor(() => expect(other.ids("webhook.disabled")).toHaveLength(1), patience);
  const notice = other.arrivals.find(({ event }) => event.type === "webhook.disabled");
  const { url } = await read(gone);
  expect(notice?.event.data).toEqual({ endpoint_id: gone.id, url, reason: endpoint.disabled_reason });
  expect(notice && verifiesThen(other.secret, notice)).toBe(true);

  gone.answerWith(204);
  await cancelOne();
  await vi.waitFor(() => expect(other.ids("job.canceled")).toHaveLength(2), patience);
  const given = [{ status: "failed", tries: [{ code: "gone" }] }];
  await vi.waitFor(async () => expect(await deliveriesTo(gone)).toMatchObject(given), patience);

  await system.post(`/v1/webhooks/${gone.id}/enable`);
  expect(await read(gone)).toMatchObject({ status: "enabled", disabled_reason: null, disabled_at: null });
  await cancelOne();
  await vi.waitFor(() => expect(gone.ids("job.canceled")).toHaveLength(2), patience); // the one of before, and this
}, 90_000);

test("a dispatcher that dies in the moment it disables an endpoint: the others are told of it all the same, and once", async () => {
  const [gone, other] = [await growEars(system), await growEars(system, { events: ["webhook.disabled"] })];
  gone.answerWith(410);
  await system.dispatcher.stop("SIGKILL");
  const doomed = await system.restartDispatcher({ FAILPOINT: "endpoint_disabled:kill9" });
  await cancelOne();
  expect(await doomed.ended()).toBeNull(); // by a signal
  expect(await read(gone)).toMatchObject({ status: "disabled" });
  await system.restartDispatcher();
  await vi.waitFor(() => expect(other.ids("webhook.disabled")).toHaveLength(1), patience);
  expect(await deliveriesTo(gone)).toMatchObject([{ tries: [{ code: null }, { code: "endpoint_disabled" }] }]);
  expect(await deliveriesTo(other)).toHaveLength(1);
}, 90_000);

test("an endpoint that accepts nothing for five days is disabled with a notice; enabled again it begins anew, and what it missed can be sent", async () => {
  const ears = await growEars(system);
  ears.answerWith(500);
  const disabledBefore = await disabledTotal();
  await cancelOne();
  const untilTried = (times: number) =>
    vi.waitFor(async () => {
      const [delivery] = await deliveriesTo(ears);
      expect(delivery?.tries.filter(({ code }) => code === "not_accepted")).toHaveLength(times);
    }, patience);
  // Two within seconds, then hour by hour: the fifth failure, after half a day, starts the clock of five days.
  for (const tried of [2, 3, 4, 5]) {
    await untilTried(tried);
    expect(await read(ears)).toMatchObject({ status: "enabled", disabled_reason: null });
    await jump();
  }
  const { disabled_reason } = await untilDisabled(ears);
  expect(disabled_reason).toMatch(/^It has accepted nothing since .*, the last time: .* answered 500; /);
  expect(disabled_reason).toContain("POST /v1/deliveries/redeliver");
  expect(await disabledTotal()).toBe(disabledBefore + 1);

  await cancelOne(); // nobody is to be told
  await jump(); // the next try of what waited
  await vi.waitFor(async () => expect(await deliveriesTo(ears)).toMatchObject([{ status: "failed" }]), patience);
  const [missed] = await deliveriesTo(ears);
  expect(missed?.tries.at(-1)).toMatchObject({ code: "endpoint_disabled", status: null });
  expect(ears.arrivals).toHaveLength(6);

  await jump(); // the clock is right again
  await system.post(`/v1/webhooks/${ears.id}/enable`);
  await cancelOne();
  await vi.waitFor(() => expect(ears.arrivals.length).toBeGreaterThanOrEqual(8), patience); // tried twice within seconds
  expect(await read(ears)).toMatchObject({ status: "enabled" });
  ears.answerWith(204);
  const since = new Date(Date.now() - DAY_MS).toISOString();
  const report = await readJson<{ deliveries: string[] }>(
    system.post("/v1/deliveries/redeliver", { since, endpoint: ears.id }),
  );
  expect(report.deliveries).toEqual([missed?.id]);
  await vi.waitFor(async () => expect((await deliveriesTo(ears))[0]?.status).toBe("delivered"), patience);
  const again = ears.arrivals.filter(({ id }) => id === ears.arrivals[0]?.id);
  expect(new Set(again.map(({ body }) => body)).size).toBe(1);
  expect(verifiesThen(ears.secret, again.at(-1) as Received)).toBe(true); // there is at least the first
}, 120_000);

test("while a secret is being replaced the old and the new one verify what is delivered, and after the overlap only the new one", async () => {
  const ears = await growEars(system);
  const jobSecret = async () => (await readJson<{ secret: string }>(system.get("/v1/webhooks/secret"))).secret;
  const firstOfJobs = await jobSecret();
  const wish = { overlap_s: 3_600 };
  const { secret } = await readJson<{ secret: string }>(system.post(`/v1/webhooks/${ears.id}/rotate`, wish));
  const ofJobs = await readJson<{ secret: string }>(system.post("/v1/webhooks/secret/rotate", wish));
  expect(await jobSecret()).toBe(ofJobs.secret);
  const named = await growEars(system, { events: ["batch.completed"] }); // its receiver gets the webhooks of the jobs
  const { url } = await read(named);

  const heard = async (times: number): Promise<readonly [Received, Received]> => {
    await cancelOne({ webhook: { url } });
    await vi.waitFor(() => {
      expect(ears.arrivals).toHaveLength(times);
      expect(named.arrivals).toHaveLength(times);
    }, patience);
    return [ears.arrivals.at(-1) as Received, named.arrivals.at(-1) as Received]; // that many have arrived
  };

  const [own, job] = await heard(1);
  expect([ears.secret, secret].map((one) => verifiesThen(one, own))).toEqual([true, true]);
  expect([firstOfJobs, ofJobs.secret].map((one) => verifiesThen(one, job))).toEqual([true, true]);
  await jump(); // two hours later
  const [later, laterJob] = await heard(2);
  expect([ears.secret, secret].map((one) => verifiesThen(one, later))).toEqual([false, true]);
  expect([firstOfJobs, ofJobs.secret].map((one) => verifiesThen(one, laterJob))).toEqual([false, true]);

  const leaked = await readJson<{ secret: string }>(system.post(`/v1/webhooks/${ears.id}/rotate`, { overlap_s: 0 }));
  const [last] = await heard(3);
  expect([secret, leaked.secret].map((one) => verifiesThen(one, last))).toEqual([false, true]);
}, 90_000);
