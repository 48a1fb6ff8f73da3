import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import type { DeliveryDetail, DeliveryPage, Job } from "@comfyq/contract";
import { SETTINGS } from "@comfyq/queue";
import { tenantWebhookSecret } from "@comfyq/runtime";
import { Webhook } from "standardwebhooks";
import { afterAll, expect, onTestFinished, test, vi } from "vitest";
import { example } from "./graphs.ts";
import { type Running, startProcess } from "./processes.ts";
import { readJson, setup } from "./setup.ts";

// What a receiver and the log of tries see of a delivery. It needs no GPU: a job that is canceled while it waits has ended, too.
const system = await setup({ timeScale: 0.2, workers: 0 });
const master = (await readFile(join(system.dataDir, "secrets", "webhook-secret"), "utf8")).trim();
afterAll(() => system[Symbol.asyncDispose]());
let running: Running = system.dispatcher;
afterAll(() => running.stop("SIGKILL"));

const patience = { timeout: 60_000, interval: 50 };

interface Arrival {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** A receiver that keeps what arrives, and answers as told: the `at`th answer, and every one after the last. */
async function receiver(
  ...answers: readonly RequestListener[]
): Promise<{ url: string; arrivals: readonly Arrival[] }> {
  const arrivals: Arrival[] = [];
  const server = createServer(async (request, response) => {
    const answer = answers[Math.min(arrivals.length, answers.length - 1)];
    const body = await text(request).catch(() => undefined);
    if (body === undefined) return; // its sender died in the middle
    arrivals.push({ headers: request.headers as Record<string, string>, body }); // none of ours is sent twice
    answer?.(request, response);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`, arrivals }; // never a string over TCP
}

const status =
  (code: number, headers = {}): RequestListener =>
  (_request, response) =>
    void response.writeHead(code, headers).end();
const accept = status(204);

/** A job that ends at once, and whose end is to be told. */
async function cancelOne(url: string): Promise<Job> {
  const job = await system.submit({ workflow: example("model-free"), pool: "nobody", webhook: { url } });
  await system.post(`/v1/jobs/${job.id}/cancel`);
  return job;
}

/** The one delivery about a job, with its log. */
async function deliveryOf(jobId: string): Promise<DeliveryDetail> {
  return vi.waitFor(async () => {
    const { deliveries } = await readJson<DeliveryPage>(fetch(`${system.url}/v1/deliveries?job=${jobId}`));
    expect(deliveries).toHaveLength(1);
    return readJson<DeliveryDetail>(fetch(`${system.url}/v1/deliveries/${deliveries[0]?.id}`));
  }, patience);
}

const untilStatus = (jobId: string, wanted: string) =>
  vi.waitFor(async () => {
    const delivery = await deliveryOf(jobId);
    expect(delivery.status).toBe(wanted);
    return delivery;
  }, patience);

async function restartDispatcher(env: Record<string, string> = {}): Promise<void> {
  running = await startProcess("dispatcher", { env: { ...system.env, COMFYQ_PUBLIC_URL: system.url, ...env } });
}

function expectOneGenuineEvent(arrivals: readonly Arrival[]): void {
  expect(new Set(arrivals.map(({ headers }) => headers["webhook-id"])).size).toBe(1);
  expect(new Set(arrivals.map(({ body }) => body)).size).toBe(1);
  const library = new Webhook(tenantWebhookSecret(master, "default"));
  for (const { headers, body } of arrivals) expect(() => library.verify(body, headers)).not.toThrow();
}

// Where it dies, how often the event then arrives, and what the log says of the two tries.
test.each([
  ["delivery_opened", 1, [null, "delivered"]],
  ["delivered", 2, [null, "delivered"]],
  ["delivery_noted", 2, ["delivered", "delivered"]],
] as const)(
  "a dispatcher that dies at %s: the event arrives, %i times, and the log tells the truth",
  async (at, times, codes) => {
    const sink = await receiver(accept);
    await running.stop("SIGKILL");
    await restartDispatcher({ FAILPOINT: `${at}:kill9@1` });
    const job = await cancelOne(sink.url);
    expect(await running.ended()).toBeNull(); // by a signal
    await restartDispatcher();
    const { tries } = await untilStatus(job.id, "delivered");
    expect(sink.arrivals).toHaveLength(times);
    expectOneGenuineEvent(sink.arrivals);
    expect(tries.map(({ code }) => code)).toEqual(codes);
    expect(new Set(tries.map(({ dispatcher }) => dispatcher)).size).toBe(2);
  },
  90_000,
);

test("a dispatcher that dies while the receiver has the event and has not answered: it arrives again, and nobody claims to know", async () => {
  const asked = Promise.withResolvers<void>();
  const sink = await receiver(() => asked.resolve(), accept);
  const job = await cancelOne(sink.url);
  await asked.promise;
  await running.stop("SIGKILL");
  await restartDispatcher();
  const { tries } = await untilStatus(job.id, "delivered");
  expect(sink.arrivals).toHaveLength(2);
  expectOneGenuineEvent(sink.arrivals);
  expect(tries.map(({ code, status: answered }) => [code, answered])).toEqual([
    [null, null],
    ["delivered", 204],
  ]);
}, 90_000);

test("what stood in the line of a host when its dispatcher died is sent by the next one", async () => {
  const hang: RequestListener = () => {};
  const sink = await receiver(hang, accept);
  const jobs = [await cancelOne(sink.url)];
  await vi.waitFor(() => expect(sink.arrivals).toHaveLength(1), patience);
  for (let at = 0; at < 5; at += 1) jobs.push(await cancelOne(sink.url));
  const host = new URL(sink.url).host;
  await vi.waitFor(
    async () => expect(Number(await system.redisCommand("ZCARD", `comfyq:gate:${host}:line`))).toBeGreaterThan(0),
    patience,
  );
  await running.stop("SIGKILL");
  await restartDispatcher();
  for (const job of jobs) await untilStatus(job.id, "delivered");
}, 90_000);

/** The time until the next try passes at once, for every delivery: their places in BullMQ's sorted set move to now. */
async function passTime(id: string): Promise<number> {
  const key = "comfyq:deliveries:delayed";
  const score = await vi.waitFor(async () => {
    const found = Number(await system.redisCommand("ZSCORE", key, id));
    expect(found).toBeGreaterThan(0);
    return found;
  }, patience);
  await system.redisCommand("ZADD", key, "XX", String(Date.now() * 0x1000), id);
  await system.redisCommand("ZADD", "comfyq:deliveries:marker", "0", "0");
  return score / 0x1000;
}

test("a receiver that is down for three days is tried ten times as the schedule says, and gets its event on the last", async () => {
  const waitsMs = SETTINGS.deliveryBackoffMs;
  const down = waitsMs.map(() => status(500));
  const sink = await receiver(...down, accept);
  const job = await cancelOne(sink.url);
  let virtualMs = 0;
  for (const [at, waitMs] of waitsMs.entries()) {
    await vi.waitFor(() => expect(sink.arrivals).toHaveLength(at + 1), patience);
    const { id, tries } = await deliveryOf(job.id);
    const dueAtMs = await passTime(id);
    const triedAtMs = Date.parse(tries.at(-1)?.at ?? "");
    const waited = (dueAtMs - triedAtMs) / 0.2; // this system's clock runs five times faster
    expect(waited).toBeGreaterThanOrEqual(0.9 * waitMs);
    expect(waited).toBeLessThanOrEqual(1.1 * waitMs + 30_000); // looking takes a moment, times five
    virtualMs += waited;
  }
  expect(virtualMs).toBeGreaterThan(2.8 * 24 * 3_600_000);
  const { tries } = await untilStatus(job.id, "delivered");
  expect(tries.map(({ status: answered }) => answered)).toEqual([...waitsMs.map(() => 500), 204]);
  expectOneGenuineEvent(sink.arrivals);
}, 120_000);

test("what was missed for longer is sent again, all at once: same id, same bytes", async () => {
  const since = new Date().toISOString();
  const sink = await receiver(status(410), status(410), accept);
  const jobs = [await cancelOne(sink.url), await cancelOne(sink.url)];
  for (const job of jobs) await untilStatus(job.id, "failed");
  const report = await readJson<{ matched: number }>(system.post("/v1/deliveries/redeliver", { since }));
  expect(report.matched).toBe(2);
  for (const job of jobs) await untilStatus(job.id, "delivered");
  const ids = sink.arrivals.map(({ headers, body }) => `${headers["webhook-id"]} ${body}`);
  expect(new Set(ids).size).toBe(2);
  expect(ids).toHaveLength(4);
}, 90_000);

test("the dispatcher measures its deliveries", async () => {
  const metrics = await (await fetch(`${String(running.ready["health"])}/metrics`)).text();
  expect(metrics).toMatch(/comfyq_webhook_tries_total\{outcome="delivered",code="delivered"\} \d+/);
  expect(metrics).toContain('comfyq_webhook_backlog{state="delayed"}');
  expect(metrics).toContain("comfyq_webhook_try_seconds_bucket");
  expect(metrics).toContain("comfyq_webhook_endpoints_disabled_total 0");
});
