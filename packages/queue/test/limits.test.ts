import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { type Attempt, type JobStatus, LimitsFile, Manifest, type TenantLimits } from "@comfyq/contract";
import { expect, test, vi } from "vitest";
import { gpuMsOfDead } from "../src/chargeDeaths.ts";
import type { BatchSubmission, Claimer, HeldJob } from "../src/index.ts";
import { BatchHead, sweepExpired, sweepRetention } from "../src/index.ts";
import { beatAs, claimOne, endLock, GRAPH, manifestFor, nodeFailed, type Setup, setup } from "./setup.ts";

const FAST = { timeScale: 0.2 };
const DAY_MS = 24 * 3_600_000;

const limitTo = (house: Setup, acme: TenantLimits) =>
  house.producer.publishLimits(LimitsFile.parse({ v: 1, tenants: { acme } }));

const submit = (house: Setup, priority = 0) => house.submit({ priority }, "acme");

const refusal = async (work: Promise<unknown>) => {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  return error;
};

const succeed = (held: HeldJob, gpuMs?: number) => held.end({ kind: "succeeded", manifest: manifestFor(held) }, gpuMs);

async function used(house: Setup) {
  const { queued, running, gpu_seconds_per_day } = await house.producer.limits("acme");
  return { queued: queued.used, running: running.used, gpu: gpu_seconds_per_day.used };
}

/** A worker that knows the limits that were published before. */
const knowing = (house: Setup, name?: string): Promise<Claimer> => house.claimer(name);

/** What a claim of this worker gives, and nothing if it puts everything aside. */
async function claimNow(claimer: Claimer): Promise<HeldJob | undefined> {
  for (let left = 20; left > 0; left -= 1) {
    const { redis, names } = claimer.room;
    const [waiting, moved] = [`${names.bull("jobs-default", "prioritized")}`, names.bull("jobs-default", "wait")];
    if ((await redis.zcard(waiting)) + (await redis.llen(moved)) === 0) return undefined;
    const held = await claimer.claim();
    if (held) return held;
  }
  return undefined;
}

test("racing submissions never overshoot the limit of queued jobs, and other tenants are not limited", async () => {
  await using house = await setup();
  await limitTo(house, { queued: 5 });
  const results = await Promise.allSettled(Array.from({ length: 40 }, () => submit(house)));
  expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(5);
  expect(await refusal(submit(house))).toMatchObject({
    code: "limited",
    refusal: { limit: "queued", most: 5, used: 5 },
  });
  await Promise.all(Array.from({ length: 10 }, () => house.submit({}, "other")));
});

test("a place among the queued is free when a job starts, ends, is canceled or expires", async () => {
  await using house = await setup(FAST);
  await limitTo(house, { queued: 2 });
  const claimer = await knowing(house);
  const [first] = [await submit(house), await submit(house)];
  expect(await refusal(submit(house))).toMatchObject({ code: "limited" });
  const held = await claimOne(claimer); // one starts
  const third = await submit(house);
  expect(await refusal(submit(house))).toMatchObject({ code: "limited" });
  await succeed(held);
  expect(held.id).toBe(first);
  expect(await refusal(submit(house))).toMatchObject({ code: "limited" }); // it was not queued any more
  await house.producer.cancel("acme", third);
  const fourth = await house.submit({ expires_in_s: 1 }, "acme");
  await claimer.room.redis.zadd(claimer.room.names.expiring, 1, fourth);
  await sweepExpired(claimer.room);
  expect((await house.producer.read("acme", fourth))?.status).toBe("expired" satisfies JobStatus);
  await submit(house);
  expect(await used(house)).toMatchObject({ queued: 2, running: 0 });
});

test("a repeat of a submission is answered with its job, although no place is left", async () => {
  await using house = await setup();
  await limitTo(house, { queued: 1 });
  const id = await submit(house);
  const submitted = await house.producer.submitted("acme", id);
  if (!submitted) throw new Error("it was submitted just now");
  const again = house.producer.submit({ id, tenant: "acme", job: submitted.job, bodySha256: "0".repeat(64) });
  expect(await again).toMatchObject({ replayed: true });
});

test("what a killed process left counted as open is taken out by the sweeper", async () => {
  await using house = await setup();
  await limitTo(house, { queued: 2 });
  const { room } = await knowing(house);
  const id = await submit(house);
  await room.redis.zadd(room.names.open("acme"), 1, "00000000-0000-7000-8000-000000000000"); // its end was not noted
  expect(await refusal(submit(house))).toMatchObject({ code: "limited" });
  await sweepRetention(room, async () => {});
  expect(await room.redis.zrange(room.names.open("acme"), 0, "-1")).toEqual([id]);
  await submit(house);
});

test("no more of a tenant's jobs run than may; the others wait aside, and nobody else waits for them", async () => {
  await using house = await setup(FAST);
  await limitTo(house, { running: 2 });
  const workers = [await knowing(house), await knowing(house), await knowing(house)];
  const [one] = workers;
  if (!one) throw new Error("three were opened");
  const ids = [];
  for (let each = 0; each < 6; each += 1) ids.push(await submit(house));
  const others = await house.submit({ priority: -1 }, "other");
  const held = [await claimOne(one), await claimOne(one), await claimOne(one)];
  expect(held.map(({ id }) => id)).toEqual([ids[0], ids[1], others]);
  expect(await used(house)).toMatchObject({ queued: 4, running: 2 });
  expect((await house.producer.read("acme", ids[2] ?? ""))?.status).toBe("queued");
});

test("when one of them ends the first of the line is woken at once: higher priority first, then who came first", async () => {
  await using house = await setup();
  await limitTo(house, { running: 1 });
  const claimer = await knowing(house);
  const first = await submit(house);
  const held = await claimOne(claimer);
  expect(held.id).toBe(first);
  const ids = [await submit(house, 0), await submit(house, 0), await submit(house, 5), await submit(house, 0)];
  expect(await claimNow(claimer)).toBeUndefined(); // all are put aside
  const order: string[] = [];
  let running: HeldJob | undefined = held;
  while (running) {
    await succeed(running);
    running = await claimNow(claimer);
    if (running) order.push(running.id);
  }
  expect(order).toEqual([ids[2], ids[0], ids[1], ids[3]]);
  expect(await claimer.room.redis.zcard(claimer.room.names.line("acme", "default"))).toBe(0);
});

test("a seat of a worker that was killed is free when its lock is gone, also if nobody ever says so", async () => {
  await using house = await setup(FAST);
  await limitTo(house, { running: 1 });
  const [killed, other] = [await knowing(house), await knowing(house)];
  const [first, second] = [await submit(house), await submit(house)];
  expect((await claimOne(killed)).id).toBe(first);
  expect(await claimNow(other)).toBeUndefined();
  const { redis, names } = other.room;
  await redis.lrem(names.bull("jobs-default", "active"), 1, first); // not coming back: only its seat is looked at
  await endLock(other, first);
  await vi.waitFor(async () => {
    await sweepExpired(other.room);
    expect(await redis.llen(names.bull("jobs-default", "wait"))).toBe(1);
  });
  expect((await claimOne(other)).id).toBe(second);
});

test("kill -9 of the worker that had the only seat keeps nobody of that tenant waiting for ever", async () => {
  await using house = await setup(FAST);
  await limitTo(house, { running: 1 });
  const ids = [await submit(house), await submit(house)];
  const script = `
    const { openClaimer } = await import(${JSON.stringify(new URL("../src/index.ts", import.meta.url).href)});
    const options = { redisUrl: ${JSON.stringify(house.redis.url)}, pool: "default", timeScale: 0.2 };
    const claimer = await openClaimer({ ...options, workerId: "doomed", instance: "i" });
    let held; while (!held) held = await claimer.claim();
    console.log(held.id);`;
  const doomed = spawn(process.execPath, ["--conditions=@comfyq/source", "--input-type=module", "-e", script]);
  const lines = createInterface({ input: doomed.stdout })[Symbol.asyncIterator]();
  expect((await lines.next()).value).toBe(ids[0]);
  const other = await knowing(house);
  expect(await claimNow(other)).toBeUndefined();
  doomed.kill("SIGKILL");
  await once(doomed, "exit");
  const seen: string[] = [];
  while (seen.length < 2) {
    const held = await claimOne(other);
    seen.push(held.id);
    await succeed(held);
  }
  expect(seen.toSorted()).toEqual(ids.toSorted());
}, 60_000);

/** A job that had shown progress for an hour when its worker was killed; somebody else said something since. */
async function killedWhileRendering(house: Setup): Promise<string> {
  const id = await submit(house);
  const script = `
    const { openClaimer } = await import(${JSON.stringify(new URL("../src/index.ts", import.meta.url).href)});
    const options = { redisUrl: ${JSON.stringify(house.redis.url)}, pool: "default", timeScale: 0.2 };
    const claimer = await openClaimer({ ...options, workerId: "doomed", instance: "i" });
    let held; while (!held) held = await claimer.claim();
    await held.journal({ prompt_id: "p", stage: "submitted" });
    await held.journal({ stage: "rendering", prepare_ms: 0 });
    console.log(held.id);`;
  const doomed = spawn(process.execPath, ["--conditions=@comfyq/source", "--input-type=module", "-e", script]);
  const lines = createInterface({ input: doomed.stdout })[Symbol.asyncIterator]();
  expect((await lines.next()).value).toBe(id);
  doomed.kill("SIGKILL");
  await once(doomed, "exit");
  const { redis, names } = (await knowing(house, "onlooker")).room;
  const [page] = (await house.producer.attempts("acme", id)) ?? [];
  const lastMs = Date.parse(page?.started_at ?? "") + 3_600_000;
  const say = (atMs: number, event: object) =>
    redis.xadd(names.events(id), `${atMs}-0`, "event", JSON.stringify(event));
  const shown = { value: 0.5, nodes_done: 1, nodes_total: 2, current_node: null, current_node_class: null };
  const words = { step: null, steps: null, message: null };
  await say(lastMs, { event: "progress", data: { ...shown, ...words, attempt: 1 } });
  await say(lastMs + 60_000, { event: "log", data: { message: "of nobody" } });
  return id;
}

/** Seconds: no attempt renders for longer. */
const TIMEOUT_S = 900;

test("GPU time of a worker that was killed counts up to the last word of its attempt, and once however often it is taken up", async () => {
  await using house = await setup(FAST);
  await limitTo(house, { gpu_seconds_per_day: 100 });
  const id = await killedWhileRendering(house);
  const other = await knowing(house);
  for (let times = 0; times < 2; times += 1) {
    const held = await claimOne(other);
    expect(held.id).toBe(id);
    expect(await used(house)).toMatchObject({ gpu: TIMEOUT_S });
    await held.end({ kind: "give_back", reason: "seen enough" });
  }
  expect(await refusal(submit(house))).toMatchObject({ refusal: { limit: "gpu_seconds_per_day", used: TIMEOUT_S } });
}, 60_000);

test("GPU time of a worker that was killed counts also when its job is canceled before anybody takes it up", async () => {
  await using house = await setup(FAST);
  const id = await killedWhileRendering(house);
  const waits = async () => expect((await house.producer.read("acme", id))?.status).toBe("queued");
  await vi.waitFor(waits, { timeout: 20_000, interval: 100 }); // its lock has run out
  expect(await house.producer.cancel("acme", id)).toMatchObject({ status: "canceled" });
  expect(await used(house)).toMatchObject({ gpu: TIMEOUT_S });
}, 60_000);

test("what is known of a dead attempt's GPU time: nothing before it renders, its own words while it does, the journal after", () => {
  const startedMs = Date.parse("2027-01-31T09:00:00Z");
  const blank = { worker: "w", instance: "i", ended_at: null, end: null, counted: false, error: null, stop: null };
  const times = { prepare_ms: 2_000, render_ms: null, store_ms: null };
  const attempt = (more: Partial<Attempt>): Attempt => ({
    ...{
      ...blank,
      ...times,
      epoch: 2,
      started_at: "2027-01-31T09:00:00Z",
      prompt_id: "p",
      stage: "rendering",
      ...more,
    },
  });
  const status = (afterMs: number, epoch: number) => ({
    atMs: startedMs + afterMs,
    event: {
      event: "status" as const,
      data: { status: "running" as const, stage: "rendering" as const, attempt: epoch, error: null },
    },
  });
  const said = [status(9_000, 3), status(7_000, 2), status(3_000, 2)];
  expect(gpuMsOfDead(attempt({}), said, 60_000)).toBe(5_000);
  expect(gpuMsOfDead(attempt({}), said, 4_000)).toBe(4_000);
  expect(gpuMsOfDead(attempt({}), [], 60_000)).toBe(0);
  expect(gpuMsOfDead(attempt({ stage: "submitted" }), said, 60_000)).toBe(0);
  expect(gpuMsOfDead(attempt({ stage: "storing", render_ms: 3_500 }), said, 60_000)).toBe(3_500);
});

/** A batch of so many rows. */
function batchOf(rows: number, more: Partial<BatchSubmission> = {}): BatchSubmission {
  return {
    id: randomUUID(),
    tenant: "acme",
    head: BatchHead.parse({ pool: "default" }),
    request: { workflow: GRAPH, inputs: {}, files: {} },
    rows: Array.from({ length: rows }, () => ({ params: {} })),
    bodySha256: "x",
    canonicalSha256: "y",
    sealedSecrets: undefined,
    ...more,
  };
}

test("racing batches and jobs never overshoot the limit of queued jobs: rows have their places before their jobs are made", async () => {
  await using house = await setup();
  await limitTo(house, { queued: 10 });
  const { batches } = house.producer;
  const racing = Array.from({ length: 6 }, () => batchOf(4));
  const results = await Promise.allSettled(racing.map((batch) => batches.commit(batch)));
  expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(2);
  expect(await used(house)).toMatchObject({ queued: 8 });
  expect(await refusal(batches.commit(batchOf(3)))).toMatchObject({
    code: "limited",
    message: "Your limit of 10 queued jobs has room for 2 more, and these are 3; try again in 60 s, or send fewer rows",
    refusal: { limit: "queued", most: 10, used: 8 },
  });
  const singles = await Promise.allSettled(Array.from({ length: 5 }, () => submit(house)));
  expect(singles.filter(({ status }) => status === "fulfilled")).toHaveLength(2);
  const taken = racing.filter((_, at) => results[at]?.status === "fulfilled");
  await Promise.all(taken.map(({ id }) => batches.work(id, { signal: new AbortController().signal })));
  expect(await used(house)).toMatchObject({ queued: 10 }); // made, and not counted twice
  await house.submit({}, "other");
});

test("a batch that is larger than the limit is never told to come back; one that is canceled gives its places back", async () => {
  await using house = await setup();
  await limitTo(house, { queued: 5 });
  const { batches } = house.producer;
  expect(await refusal(batches.commit(batchOf(6)))).toMatchObject({
    message: "Your limit of 5 queued jobs has room for 5 more, and these are 6; send fewer rows at a time",
    refusal: { retryAfterSeconds: undefined },
  });
  const batch = batchOf(5);
  await batches.commit(batch);
  expect(await refusal(submit(house))).toMatchObject({ code: "limited" });
  await batches.cancel("acme", batch.id);
  expect(await used(house)).toMatchObject({ queued: 0 });
  await submit(house);
});

test("retrying the rows of a batch keeps to the limits of its tenant: all of them have room, or none is retried", async () => {
  await using house = await setup();
  const { batches } = house.producer;
  const batch = batchOf(4);
  await batches.commit(batch);
  await batches.cancel("acme", batch.id);
  await limitTo(house, { queued: 4 });
  await submit(house);
  expect(await refusal(batches.retry("acme", batch.id, ["canceled"]))).toMatchObject({
    code: "limited",
    refusal: { limit: "queued", most: 4, used: 1, retryAfterSeconds: 60 },
  });
  expect(await batches.read("acme", batch.id)).toMatchObject({ status: "canceled", round: 1, counts: { canceled: 4 } });
  await limitTo(house, { queued: 5 });
  expect(await batches.retry("acme", batch.id, ["canceled"])).toMatchObject({ status: "running", round: 2 });
  expect(await used(house)).toMatchObject({ queued: 5 });
});

test("a limit that is raised or lifted takes effect for those who wait already", async () => {
  await using house = await setup(FAST);
  await limitTo(house, { running: 1 });
  const claimer = await knowing(house);
  for (let each = 0; each < 4; each += 1) await submit(house);
  await claimOne(claimer);
  expect(await claimNow(claimer)).toBeUndefined();
  await limitTo(house, { running: null });
  await vi.waitFor(
    async () => {
      await sweepExpired(claimer.room);
      expect(await claimNow(claimer)).toBeDefined();
    },
    { timeout: 10_000 },
  );
});

test("a job that was canceled while it stood in the line keeps nobody waiting", async () => {
  await using house = await setup();
  await limitTo(house, { running: 1 });
  const claimer = await knowing(house);
  const ids = [await submit(house), await submit(house), await submit(house)];
  const held = await claimOne(claimer);
  expect(await claimNow(claimer)).toBeUndefined();
  await house.producer.cancel("acme", ids[1] ?? "");
  await succeed(held);
  expect((await claimNow(claimer))?.id).toBe(ids[2]);
});

test("GPU time of every attempt counts for its day, failed ones too; at the limit nothing more is accepted", async () => {
  await using house = await setup();
  await limitTo(house, { gpu_seconds_per_day: 10 });
  const claimer = await knowing(house);
  await submit(house);
  const failing = await claimOne(claimer);
  await failing.end({ kind: "retry", error: nodeFailed, afterMs: 0, counted: true }, 4_000);
  expect(await used(house)).toMatchObject({ gpu: 4 });
  await succeed(await claimOne(claimer), 7_000);
  expect(await used(house)).toMatchObject({ gpu: 11 });
  const error = await refusal(submit(house));
  const untilMidnight = Math.ceil((DAY_MS - (Date.now() % DAY_MS)) / 1_000);
  expect(error).toMatchObject({ code: "limited", refusal: { limit: "gpu_seconds_per_day", most: 10, used: 11 } });
  const { retryAfterSeconds } = (error as { refusal: { retryAfterSeconds: number } }).refusal;
  expect([untilMidnight, untilMidnight + 1, untilMidnight + 2]).toContain(retryAfterSeconds);
  const { redis, names } = claimer.room;
  const today = Math.floor(Date.now() / DAY_MS);
  await redis.rename(names.usage("acme"), "tomorrow");
  await redis.hset(names.usage("acme"), `gpu_ms:${today - 1}`, 11_000); // as if it had been yesterday
  await submit(house);
});

test("a refused caller is told to come back when a hundredth of the places has become free at the pace of late", async () => {
  await using house = await setup();
  await limitTo(house, { queued: 300 });
  const { room } = await knowing(house);
  const members = Array.from({ length: 300 }, (_, index) => [index, `job-${index}`]).flat();
  await room.redis.zadd(room.names.open("acme"), ...members);
  expect(await refusal(submit(house))).toMatchObject({ refusal: { retryAfterSeconds: 60 } }); // nothing is known
  const now = Date.now();
  await room.redis.hset(room.names.usage("acme"), { ends: 30.5, at: now, since: now - 600_000_000 }); // one in ten seconds
  expect(await refusal(submit(house))).toMatchObject({ refusal: { retryAfterSeconds: 30 } });
  await room.redis.hset(room.names.usage("acme"), { ends: 0.001 });
  expect(await refusal(submit(house))).toMatchObject({ refusal: { retryAfterSeconds: 3_600 } });
});

test("a pool that had nothing to do for hours is not thought slow when it is full: its workers' pace counts, by the tenant's share", async () => {
  await using house = await setup();
  const claimer = await house.claimer();
  await house.submit({}, "acme");
  const held = await claimOne(claimer);
  const metrics = { prepare_ms: 1_000, render_ms: 8_000, store_ms: 1_000 };
  await held.end({ kind: "succeeded", manifest: Manifest.parse({ ...manifestFor(held), metrics }) });
  await Promise.all([beatAs(claimer, "w1"), beatAs(claimer, "w2")]); // two who need ten seconds for a job
  const { redis, names } = claimer.room;
  const now = Date.now();
  await redis.hset(names.usage("acme"), { ends: 1, at: now - 3_600_000, since: now - 90_000_000 });
  await limitTo(house, { queued: 300 });
  await redis.zadd(names.open("acme"), ...Array.from({ length: 300 }, (_, at) => [at, `job-${at}`]).flat());
  expect(await refusal(submit(house))).toMatchObject({ refusal: { limit: "queued", retryAfterSeconds: 15 } });
  const others = Array.from({ length: 600 }, (_, at) => [at, `other-${at}`]).flat();
  await redis.zadd(names.bull("jobs-default", "prioritized"), ...others);
  expect(await refusal(submit(house))).toMatchObject({ refusal: { limit: "queued", retryAfterSeconds: 30 } });
});

test("calls are counted over all API processes, and a second's worth may come at once", async () => {
  await using house = await setup();
  await limitTo(house, { requests_per_s: 0.01 });
  const { openProducer } = await import("../src/index.ts");
  const [one, two] = [
    await openProducer({ redisUrl: house.redis.url }),
    await openProducer({ redisUrl: house.redis.url }),
  ];
  expect(await one.admit("acme")).toMatchObject({ waitSeconds: 0 });
  const { waitSeconds } = await two.admit("acme");
  expect(waitSeconds).toBeGreaterThan(90);
  expect(waitSeconds).toBeLessThanOrEqual(100);
  expect(await one.admit("other")).toEqual({ waitSeconds: 0, perSecond: undefined });
  await Promise.all([one.close(), two.close()]);
});
