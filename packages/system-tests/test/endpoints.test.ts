import { Webhook } from "standardwebhooks";
import { afterAll, beforeEach, expect, test, vi } from "vitest";
import { type Ears, growEars, removeEndpoint } from "./endpointEars.ts";
import { example, sampling } from "./graphs.ts";
import { type Running, startProcess } from "./processes.ts";
import { isFinished, readJson, setup } from "./setup.ts";

const MARKER = "MARKER-4be2c1";
const system = await setup({ timeScale: 0.2, simulatorArgs: ["--step-ms", "200"], env: { COMFYQ_LOG_LEVEL: "trace" } });
afterAll(() => system[Symbol.asyncDispose]());

const patience = { timeout: 40_000, interval: 50 };
const ENDS = ["job.succeeded", "job.failed", "job.canceled", "job.expired"];

const endpoint = (wish: object = {}) => growEars(system, wish);

/** A job that ends at once: nobody takes jobs of this pool, so it waits until it is canceled. */
async function cancelOne(pool = "nobody"): Promise<string> {
  const { id } = await system.submit({ workflow: example("model-free"), pool });
  await system.post(`/v1/jobs/${id}/cancel`);
  return id;
}

/** The dispatchers of this file; those that died are replaced before the next test. */
let dispatchers: Running[] = [system.dispatcher];
afterAll(() => Promise.all(dispatchers.map((one) => one.stop("SIGKILL"))));
const startDispatcher = (failPoint = "") =>
  startProcess("dispatcher", { env: { ...system.env, COMFYQ_PUBLIC_URL: system.url, FAILPOINT: failPoint } });

async function withDispatchers(failPoints: readonly string[], act: () => Promise<void>): Promise<void> {
  await Promise.all(dispatchers.map((one) => one.stop("SIGKILL")));
  dispatchers = await Promise.all(failPoints.map(startDispatcher));
  await act();
}

beforeEach(async () => {
  await vi.waitFor(
    async () => expect(await system.redisCommand("LLEN", "comfyq:settlements:active")).toBe("0"),
    patience,
  );
});

test("an endpoint hears a job's whole life, signed with its own secret, with its headers and its metadata", async () => {
  const all = ["job.queued", "job.started", "job.progress", "job.output", ...ENDS, "queue.idle"];
  const mine = { events: all, metadata: { shop: 7 }, headers: { "X-Gate": MARKER } };
  const [ears, deaf] = [await endpoint(mine), await endpoint({ events: ["batch.completed"] })];
  const webhook = { url: system.sink.url, metadata: { order: 42 } };
  const { id } = await system.submit({ workflow: sampling(20), webhook });
  await system.until(id, isFinished);
  await vi.waitFor(() => expect(ears.ids("queue.idle")).toHaveLength(1), patience);
  await vi.waitFor(() => expect(ears.ids("job.succeeded")).toHaveLength(1), patience);
  for (const type of ["job.queued", "job.started"]) expect(ears.ids(type)).toHaveLength(1);
  expect(ears.ids("job.progress").length).toBeGreaterThan(0);
  for (const { id: eventId, body, headers, event } of ears.arrivals) {
    expect(() => new Webhook(ears.secret).verify(body, headers)).not.toThrow();
    expect(event).toMatchObject({ id: eventId, metadata: { shop: 7 } });
    expect(headers["x-gate"]).toBe(MARKER);
  }
  const job = await system.read(id);
  const told = ears.arrivals.flatMap(({ event }) => (event.type === "job.output" ? [event.data.output] : []));
  expect(told).toEqual(job.outputs.map(({ node_id, name, type, size_bytes }) => ({ node_id, name, type, size_bytes })));
  await vi.waitFor(() => expect(system.sink.received(id)).toHaveLength(1), patience);
  expect(system.sink.received(id)[0]).toMatchObject({ isGenuine: true, event: { metadata: { order: 42 } } });
  expect(deaf.arrivals).toEqual([]);
  const page = await (await fetch(`${String(dispatchers[0]?.ready["health"])}/metrics`)).text();
  expect(page).toMatch(/^comfyq_webhook_events_total\{type="job\.succeeded"\} 2$/m);
}, 90_000);

test("a test event arrives at its endpoint and nowhere else; a rotated secret signs beside the old one", async () => {
  const [mine, other] = [await endpoint({ headers: { Authorization: `Bearer ${MARKER}` } }), await endpoint()];
  const rotated = await readJson<{ secret: string }>(system.post(`/v1/webhooks/${mine.id}/rotate`, {}));
  const sent = await readJson<{ event_id: string }>(system.post(`/v1/webhooks/${mine.id}/test`));
  await vi.waitFor(() => expect(mine.ids("webhook.test")).toEqual([sent.event_id]), patience);
  const [arrival] = mine.arrivals;
  for (const secret of [mine.secret, rotated.secret])
    expect(() => new Webhook(secret).verify(arrival?.body ?? "", arrival?.headers ?? {})).not.toThrow();
  expect(other.arrivals).toEqual([]);
}, 60_000);

test("endpoints come and go while jobs run: one that was made later hears of later jobs, a deleted one of nothing more", async () => {
  const first = await endpoint();
  const before = await system.submit({ workflow: sampling(15) });
  const second = await endpoint();
  await system.until(before.id, ({ status }) => status === "running");
  await removeEndpoint(system, first.id);
  const after = await system.submit({ workflow: sampling(1) });
  await Promise.all([before, after].map(({ id }) => system.until(id, isFinished)));
  const jobsOf = ({ arrivals }: Ears) => arrivals.map(({ event }) => ("job" in event.data ? event.data.job.id : ""));
  await vi.waitFor(() => expect(jobsOf(second)).toContain(after.id), patience);
  expect(first.arrivals).toEqual([]);
}, 90_000);

test.each([
  "told_one:kill9@1",
  "told_one:kill9@2",
  "told_one:kill9@3",
  "announced:kill9",
  "became_idle:kill9",
  "told_one:kill9@4",
])(
  "a dispatcher that dies at %s loses no event for any endpoint, and makes none of them two",
  async (failPoint) => {
    const events = [...ENDS, "queue.idle"];
    const ears = [await endpoint({ events }), await endpoint({ events }), await endpoint({ events })];
    await withDispatchers([failPoint], async () => {
      await cancelOne();
      expect(await dispatchers[0]?.ended()).toBeNull(); // by a signal
      dispatchers = [await startDispatcher()];
    });
    for (const one of ears) {
      await vi.waitFor(() => expect(one.ids("queue.idle")).toHaveLength(1), patience);
      await vi.waitFor(() => expect(one.ids("job.canceled")).toHaveLength(1), patience);
    }
    await cancelOne(); // whatever was still to come of the first is there when this one is
    for (const one of ears) {
      await vi.waitFor(() => expect(one.ids("queue.idle")).toHaveLength(2), patience);
      expect(one.ids("job.canceled")).toHaveLength(2);
      expect(new Set(one.arrivals.map(({ body }) => body)).size).toBe(4); // same id, same bytes
    }
  },
  90_000,
);

test("a queue that becomes idle says so once each time, with three dispatchers and one of them killed each time", async () => {
  const ears = await endpoint({ events: ["queue.idle"] });
  await withDispatchers(["", "", ""], async () => {
    for (let round = 1; round <= 6; round += 1) {
      const doomed = await startDispatcher("became_idle:kill9@1,told_one:kill9@1");
      await Promise.all(Array.from({ length: 5 }, () => cancelOne("rounds")));
      await vi.waitFor(() => expect(ears.ids("queue.idle").length).toBeGreaterThanOrEqual(round), patience);
      await doomed.stop("SIGKILL");
    }
  });
  const periods = Number(await system.redisCommand("HGET", "comfyq:idle:default:rounds", "periods"));
  await vi.waitFor(() => expect(ears.ids("queue.idle")).toHaveLength(periods), patience);
  expect(await system.redisCommand("HLEN", "comfyq:idle:default:rounds")).toBe("1"); // nothing is left to be told
  expect(await system.redisCommand("EXISTS", "comfyq:busy:default:rounds")).toBe("0");
}, 120_000);

test("secrets and headers of endpoints stand nowhere but in what their receivers got", async () => {
  const everywhere = [
    await system.redis.everWritten(),
    ...[system.api, ...dispatchers, ...system.workers].map((one) => one.log()),
    await (await system.get("/v1/webhooks")).text(),
  ].join("");
  expect(everywhere).toContain("/in");
  expect(everywhere).not.toContain(MARKER);
  expect(everywhere).not.toContain("whsec_");
}, 60_000);
