import { randomUUID } from "node:crypto";
import { expect, test, vi } from "vitest";
import { judgeEndpoint } from "../src/endpointFailures.ts";
import { noteHookGone, noteRefused, SETTINGS, sweepDeliveries } from "../src/index.ts";
import { accepted, gaveUp, refused, type Sending, sending } from "./sending.ts";

const patience = { timeout: 20_000, interval: 20 };
const all = { tenant: "acme", limit: 100 } as const;

async function untilStatus({ producer }: Sending, id: string, status: string): Promise<void> {
  await vi.waitFor(async () => expect((await producer.readDelivery("acme", id))?.status).toBe(status), patience);
}

test("every try stands in the log: when, by whom, what was answered, how long it took", async () => {
  const reports = [refused, { ...refused, status: null, code: "timed_out", answer: null, latencyMs: 15_000 }, accepted];
  const system = await sending(async () => reports.shift() ?? accepted);
  const jobId = randomUUID();
  const id = await system.queue({ jobId, url: "https://user:word@a.example/hook?token=secret#x" });
  for (const triesMade of [1, 2]) {
    const putOff = { tries_made: triesMade, status: "pending", next_try_at: expect.any(String) };
    await vi.waitFor(
      async () => expect(await system.producer.readDelivery("acme", id)).toMatchObject(putOff),
      patience,
    );
    await system.producer.redeliver("acme", id); // at once
  }
  await untilStatus(system, id, "delivered");
  const read = await system.producer.readDelivery("acme", id);
  expect(read).toMatchObject({ id, event_id: id, job_id: jobId, endpoint_id: null, tries_made: 3, reason: null });
  expect(read?.url).toBe("https://a.example/hook?token=*");
  expect(read?.tries).toMatchObject([
    { number: 1, dispatcher: "dispatcher-0", status: 500, code: "not_accepted", latency_ms: 3, answer: "no" },
    { number: 2, status: null, code: "timed_out", latency_ms: 15_000, answer: null },
    { number: 3, status: 204, code: "delivered" },
  ]);
  expect(read?.last_try).toEqual(read?.tries.at(-1));
  expect(JSON.parse(read?.body ?? "")).toMatchObject({ id, type: "job.succeeded" });
});

test("a try that is under way, or whose dispatcher died, says that nobody knows what came of it", async () => {
  const begun = Promise.withResolvers<void>();
  const system = await sending(async () => {
    await begun.promise;
    return accepted;
  });
  const id = await system.queue();
  await vi.waitFor(
    async () => expect((await system.producer.readDelivery("acme", id))?.tries).toHaveLength(1),
    patience,
  );
  expect((await system.producer.readDelivery("acme", id))?.tries[0]).toMatchObject({ code: null, status: null });
  begun.resolve();
  await untilStatus(system, id, "delivered");
});

test("a delivery is found by status, type, job, endpoint and time, page by page, by its own tenant only", async () => {
  const system = await sending(async ({ url }) => (url.includes("bad") ? gaveUp : accepted));
  const { producer, queue } = system;
  const endpointId = randomUUID();
  const jobId = randomUUID();
  const ids: string[] = [];
  for (let at = 0; at < 5; at += 1) ids.push(await queue({ url: `http://${at % 2 ? "bad" : "good"}-${at}.example/` }));
  await queue({ endpointId, type: "job.failed" });
  ids.push(await queue({ jobId }));
  for (const id of ids)
    await vi.waitFor(
      async () => expect((await producer.readDelivery("acme", id))?.status).not.toBe("pending"),
      patience,
    );
  const idsOf = async (query: object) =>
    (await producer.listDeliveries({ ...all, ...query })).deliveries.map(({ id }) => id);
  expect(await idsOf({ status: "failed" })).toEqual([ids[3], ids[1]]);
  expect(await idsOf({ jobId })).toEqual([ids[5]]);
  expect(await idsOf({ endpointId })).toHaveLength(1);
  expect(await idsOf({ type: "job.failed" })).toEqual(await idsOf({ endpointId }));
  expect(await idsOf({ sinceMs: Date.now() + 60_000 })).toEqual([]);
  expect(await idsOf({ untilMs: Date.now() + 60_000 })).toHaveLength(7);
  expect(await idsOf({ tenant: "other" })).toEqual([]);
  expect(await producer.readDelivery("other", String(ids[0]))).toBeUndefined();
  expect(await producer.redeliver("other", String(ids[0]))).toBeUndefined();
  const paged: string[] = [];
  for (let cursor: string | undefined, page = 0; page < 7; page += 1) {
    const found = await producer.listDeliveries({ tenant: "acme", limit: 2, cursor });
    paged.push(...found.deliveries.map(({ id }) => id));
    cursor = found.nextCursor;
    if (cursor === undefined) break;
  }
  expect(paged).toEqual(await idsOf({}));
});

test("a failed delivery is sent again with the same id and bytes, and all its tries anew; a delivered one, too", async () => {
  const seen: string[] = [];
  let isUp = false;
  const system = await sending(async (delivery, { eventId }) => {
    seen.push(`${eventId} ${delivery.body}`);
    return isUp ? accepted : gaveUp;
  });
  const id = await system.queue();
  await untilStatus(system, id, "failed");
  expect(await system.producer.readDelivery("acme", id)).toMatchObject({ reason: "it answered 500", tries_made: 1 });
  isUp = true;
  expect(await system.producer.redeliver("acme", id)).toMatchObject({
    id,
    status: expect.stringMatching(/pending|delivered/),
  });
  await untilStatus(system, id, "delivered");
  await system.producer.redeliver("acme", id);
  await vi.waitFor(() => expect(seen).toHaveLength(3), patience);
  expect(new Set(seen).size).toBe(1);
  await untilStatus(system, id, "delivered");
  expect((await system.producer.readDelivery("acme", id))?.tries.map(({ number }) => number)).toEqual([1, 2, 3]);
});

test("all that failed since a moment are sent again, of one endpoint if wanted; a dry run sends nothing", async () => {
  let isUp = false;
  const system = await sending(async () => (isUp ? accepted : gaveUp));
  const { producer, queue } = system;
  const endpointId = randomUUID();
  const ids = [await queue(), await queue(), await queue({ endpointId })];
  await vi.waitFor(
    async () => expect((await producer.listDeliveries({ ...all, status: "failed" })).deliveries).toHaveLength(3),
    patience,
  );
  const query = { ...all, sinceMs: Date.now() - 60_000 };
  expect(await producer.redeliverFailed({ ...query, sinceMs: Date.now() + 60_000, isDryRun: false })).toMatchObject({
    ids: [],
  });
  expect((await producer.redeliverFailed({ ...query, isDryRun: true })).ids).toHaveLength(3);
  expect((await producer.listDeliveries({ ...all, status: "failed" })).deliveries).toHaveLength(3);
  isUp = true;
  expect((await producer.redeliverFailed({ ...query, endpointId, isDryRun: false })).ids).toHaveLength(1);
  const first = await producer.redeliverFailed({ ...query, limit: 1, isDryRun: false });
  expect(first).toMatchObject({ ids: [ids[1]], nextCursor: expect.any(String) });
  await producer.redeliverFailed({ ...query, cursor: first.nextCursor, isDryRun: false });
  await vi.waitFor(
    async () => expect((await producer.listDeliveries({ ...all, status: "delivered" })).deliveries).toHaveLength(3),
    patience,
  );
});

test("a job's webhook that said 410 Gone hears no more of this job, until somebody sends it again", async () => {
  const system = await sending(async () => accepted);
  const jobId = randomUUID();
  await noteHookGone(system.errands.room, jobId, randomUUID());
  const id = await system.queue({ jobId });
  const other = await system.queue();
  await untilStatus(system, id, "failed");
  await untilStatus(system, other, "delivered");
  expect(await system.producer.readDelivery("acme", id)).toMatchObject({
    tries_made: 0,
    reason: expect.stringContaining("410"),
  });
  await system.producer.redeliver("acme", id);
  await untilStatus(system, id, "delivered");
});

test("progress of a job that is not there any more is dropped, and is tried for seconds only", async () => {
  const system = await sending(async () => accepted);
  const id = await system.queue({ type: "job.progress" });
  await untilStatus(system, id, "dropped");
  expect(await system.producer.readDelivery("acme", id)).toMatchObject({
    tries_made: 0,
    reason: expect.stringContaining("ended"),
  });
  const job = await system.errands.room.deliveries.getJob(id);
  expect(job?.opts.attempts).toBe(1 + SETTINGS.progressBackoffMs.length);
});

test("deliveries are forgotten when they are old, failed ones later, and what is still to be tried never", async () => {
  const RETENTION_MS = 3_600_000;
  const system = await sending(
    async ({ url }) => (url.includes("bad") ? gaveUp : url.includes("slow") ? refused : accepted),
    { timeScale: 1, retentionMs: RETENTION_MS },
  );
  const { errands, producer, queue } = system;
  const [good, bad, slow] = [
    await queue(),
    await queue({ url: "http://bad.example/" }),
    await queue({ url: "http://slow.example/" }),
  ];
  await untilStatus(system, good, "delivered");
  await untilStatus(system, bad, "failed");
  await vi.waitFor(async () => expect((await producer.readDelivery("acme", slow))?.tries_made).toBe(1), patience);
  expect(await sweepDeliveries(errands.room)).toBe(0);
  const later = async (ms: number) => {
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + ms });
    const swept = await sweepDeliveries(errands.room);
    vi.useRealTimers();
    return swept;
  };
  expect(await later(RETENTION_MS + 1_000)).toBe(1);
  expect((await producer.listDeliveries(all)).deliveries.map(({ id }) => id)).toEqual([slow, bad]);
  expect(await later(4 * RETENTION_MS + 60_000)).toBe(1);
  expect((await producer.listDeliveries(all)).deliveries.map(({ id }) => id)).toEqual([slow]);
  expect(await errands.room.redis.keys(`comfyq:*${good}*`)).toEqual([]);
  expect(await errands.room.redis.zcard("comfyq:sent:acme:failed")).toBe(0);
});

test("when there are too many deliveries the oldest that have ended go first", async () => {
  const system = await sending(async () => accepted);
  const ids = [await system.queue(), await system.queue(), await system.queue()];
  for (const id of ids) await untilStatus(system, id, "delivered");
  const { room } = system.errands;
  expect(await sweepDeliveries({ ...room, settings: { ...room.settings, deliveriesKept: 2 } })).toBe(1);
  expect((await system.producer.listDeliveries(all)).deliveries.map(({ id }) => id)).toEqual([ids[2], ids[1]]);
});

test("an endpoint is disabled when it accepted nothing for five days, and not for one bad night", () => {
  const HOUR = 3_600_000;
  const judge = (failures: number, hours: number, clockHours?: number) =>
    judgeEndpoint(
      { failures, firstAtMs: 0, clockAtMs: clockHours === undefined ? undefined : clockHours * HOUR },
      hours * HOUR,
      SETTINGS,
    );
  expect(judge(1_000, 11)).toBe("wait");
  expect(judge(4, 100)).toBe("wait");
  expect(judge(5, 12)).toBe("start_clock");
  expect(judge(50, 12 + 119, 12)).toBe("wait");
  expect(judge(50, 12 + 120, 12)).toBe("disable");
});

test("an endpoint's failures are counted from the first on, and tell since when nothing was accepted", async () => {
  const { errands } = await sending(async () => accepted);
  const endpointId = randomUUID();
  const startMs = Date.now();
  const failAt = async (hours: number) => {
    vi.useFakeTimers({ toFake: ["Date"], now: startMs + hours * 3_600_000 });
    const since = await noteRefused(errands.room, endpointId);
    vi.useRealTimers();
    return since;
  };
  for (const hours of [0, 1, 5, 9, 13, 60, 130]) expect(await failAt(hours)).toBeUndefined();
  expect((await failAt(134))?.getTime()).toBe(startMs);
});
