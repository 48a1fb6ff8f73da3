import { cp, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { timedJob } from "./lanes.ts";
import { isFinished, readJson, setup } from "./setup.ts";
import {
  attemptsOf,
  expectOneAtATime,
  expectOneSuccess,
  expectToldOnce,
  historyOf,
  manifestOf,
  promptsOf,
  untilAllQuiet,
} from "./traces.ts";

// Locks of 2 s, a fence at 1.6 s. One after the other: each fault befalls the Redis of all.
const system = await setup({ workers: 2, proxied: true, timeScale: 0.2 });
afterAll(() => system[Symbol.asyncDispose]());

const job = (ms: number) => timedJob(ms, { webhook: { url: system.sink.url } });
const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until one of these moments stands in the history of the job. */
async function untilNoted(id: string, ...moments: readonly string[]): Promise<void> {
  const isThere = async () => {
    const noted = (await historyOf(system, id)).map(({ op }) => op);
    expect(noted).toEqual(expect.arrayContaining([expect.stringMatching(`^(${moments.join("|")})$`)]));
  };
  await vi.waitFor(isThere, { timeout: 30_000, interval: 20 });
}

/** Every new job is refused with 503 and Retry-After, within what a client waits for. */
async function expectRefusal(): Promise<void> {
  const answer = await fetch(`${system.url}/v1/jobs`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(job(50)),
    signal: AbortSignal.timeout(10_000),
  });
  expect(answer.status).toBe(503);
  expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
}

/** Everybody has found Redis again: a new job is taken, done and told. */
async function expectAllWell(): Promise<void> {
  const ready = async () => expect((await system.get("/readyz")).status).toBe(200);
  await vi.waitFor(ready, { timeout: 20_000, interval: 100 });
  const { id } = await system.submit(job(50));
  await expectOneSuccess(system, id);
  await expectToldOnce(system, id, "job.succeeded");
  await untilAllQuiet(system);
}

/** Two ways in which Redis can be away, and come back. */
const ABSENCES = [
  {
    name: "killed and started again",
    leave: () => system.redis.kill(),
    comeBack: () => system.redis.restart(),
  },
  {
    name: "stopped (SIGSTOP) and continued",
    leave: async () => void process.kill(system.redis.pid, "SIGSTOP"),
    comeBack: async () => void process.kill(system.redis.pid, "SIGCONT"),
  },
] as const;

describe.each(ABSENCES)("Redis is $name", ({ leave, comeBack }) => {
  test("within a lease: the render goes on, and is the only one; new jobs are refused meanwhile", async () => {
    const { id } = await system.submit(job(3_500));
    await untilNoted(id, "executing");
    await leave();
    await expectRefusal();
    await comeBack();
    await expectOneSuccess(system, id);
    expect(await promptsOf(system, id)).toMatchObject([{ submitted: 1, started: 1, outcome: "success" }]);
    await expectToldOnce(system, id, "job.succeeded");
    await expectAllWell();
  }, 60_000);

  test("for longer than a lease: the worker stops its GPU meanwhile, and the job is done by one owner afterwards", async () => {
    const { id } = await system.submit(job(3_500));
    await untilNoted(id, "executing");
    await leave();
    const leftAtMs = performance.now();
    // The fence, and nobody else: there is no Redis to learn anything from.
    await untilAllQuiet(system);
    await untilNoted(id, "fenced");
    await wait(3_000 - (performance.now() - leftAtMs));
    await comeBack();
    await expectOneSuccess(system, id);
    await expectOneAtATime(system, id);
    await expectToldOnce(system, id, "job.succeeded");
    const attempts = await attemptsOf(system, id);
    expect(attempts.filter(({ counted }) => counted)).toMatchObject([{ end: "succeeded" }]);
    await expectAllWell();
  }, 60_000);
});

/** Redis takes no writes, for two reasons, and takes them again. */
const REFUSALS = [
  {
    name: "full (maxmemory)",
    refuse: () => system.redisCommand("CONFIG", "SET", "maxmemory", "1"),
    accept: () => system.redisCommand("CONFIG", "SET", "maxmemory", "0"),
  },
  {
    name: "read-only (a replica after a failover)",
    refuse: () => system.redisCommand("REPLICAOF", "127.0.0.1", "1"),
    accept: () => system.redisCommand("REPLICAOF", "NO", "ONE"),
  },
] as const;

describe.each(REFUSALS)("Redis is $name", ({ refuse, accept }) => {
  test("when a job is rendered: it is sealed all the same, and acknowledged later without the GPU", async () => {
    const { id } = await system.submit(job(800));
    await untilNoted(id, "rendered");
    onTestFinished(() => accept().then(() => undefined));
    await refuse();
    await expectRefusal();
    await untilNoted(id, "sealed");
    await wait(2_500); // longer than the lock lives
    await accept();
    await expectOneSuccess(system, id);
    expect(await promptsOf(system, id)).toMatchObject([{ submitted: 1, started: 1, outcome: "success" }]);
    await expectToldOnce(system, id, "job.succeeded");
    await expectAllWell();
  }, 60_000);

  test("and its outputs take longer than the lock lives: they are stored later from the finished prompt", async () => {
    for (const at of [0, 1]) {
      await system.workers[at]?.stop("SIGTERM");
      await system.restartWorker(at, { FAILPOINT: "output_stored:delay:3500@1" });
    }
    const { id } = await system.submit(job(800));
    await untilNoted(id, "rendered");
    onTestFinished(() => accept().then(() => undefined));
    await refuse();
    await untilNoted(id, "fenced", "sealed"); // a full Redis still renews locks, a read-only one does not
    await wait(1_000);
    await accept();
    await expectOneSuccess(system, id);
    expect(await promptsOf(system, id)).toMatchObject([{ submitted: 1, started: 1, outcome: "success" }]);
    await expectToldOnce(system, id, "job.succeeded");
    await expectAllWell();
  }, 60_000);
});

test("every answer of Redis takes 200 ms longer, which is 1 s at the real pace: jobs are slow, and done once each", async () => {
  const lines = [system.lines.api, system.lines.dispatcher, ...system.lines.workers];
  onTestFinished(() => {
    for (const line of lines) line.delay(0);
  });
  for (const line of lines) line.delay(200);
  const jobs = await Promise.all([1, 2].map(() => system.submit(job(200))));
  for (const { id } of jobs) {
    await expectOneSuccess(system, id);
    expect(await promptsOf(system, id)).toMatchObject([{ submitted: 1, started: 1 }]);
    await expectToldOnce(system, id, "job.succeeded");
  }
}, 120_000);

test("Redis wants a password all of a sudden: everybody is unready, nobody dies, and all go on when it is gone", async () => {
  const everybody = [system.api, system.dispatcher, ...system.workers];
  const readiness = () =>
    Promise.all(
      everybody.map(async ({ ready }) => (await fetch(`${String(ready["health"] ?? ready["url"])}/readyz`)).status),
    );
  const password = "not-to-be-logged";
  await system.redisCommand("CONFIG", "SET", "requirepass", password);
  await system.redisCommand("-a", password, "--no-auth-warning", "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
  await vi.waitFor(async () => expect(await readiness()).toEqual(everybody.map(() => 503)), {
    timeout: 20_000,
    interval: 100,
  });
  await expectRefusal();
  await system.redisCommand("-a", password, "--no-auth-warning", "CONFIG", "SET", "requirepass", "");
  await vi.waitFor(async () => expect(await readiness()).toEqual(everybody.map(() => 200)), {
    timeout: 20_000,
    interval: 100,
  });
  for (const running of everybody) expect(running.log().includes(password)).toBe(false);
  await expectAllWell();
}, 90_000);

test("FLUSHALL in the middle of a render: its worker stops the prompt, writes nothing, and takes the next job", async () => {
  const { id } = await system.submit(job(8_000));
  await untilNoted(id, "executing");
  await system.redisCommand("FLUSHALL");
  await untilAllQuiet(system);
  expect((await system.get(`/v1/jobs/${id}`)).status).toBe(404);
  await untilNoted(id, "settled");
  expect((await historyOf(system, id)).filter(({ op, ended }) => op === "sealed" || ended === true)).toEqual([]);
  await expectAllWell();
}, 60_000);

describe("a failover loses the last second of writes", () => {
  const stopWorkers = () => Promise.all(system.workers.map((worker) => worker.stop("SIGTERM")));

  test("a job whose acceptance was lost is created once when its client asks again with its key", async () => {
    const headers = { "idempotency-key": "order-1" };
    const order = job(50);
    await stopWorkers();
    const id = await losingItsWrites(async () => {
      const accepted = await readJson<{ id: string }>(system.post("/v1/jobs", order, headers));
      return accepted.id;
    });
    expect((await system.get(`/v1/jobs/${id}`)).status).toBe(404);
    const again = await system.post("/v1/jobs", order, headers);
    expect([again.status, (await readJson<{ id: string }>(again)).id]).toEqual([201, id]);
    await system.restartWorker(0);
    await expectOneSuccess(system, id);
    await expectToldOnce(system, id, "job.succeeded");
  }, 60_000);

  test("a job whose end was forgotten ends by its manifest, and its files stay as they are", async () => {
    await stopWorkers();
    const { id } = await system.submit(job(50));
    const writtenAtMs = async () => {
      const keys = (await manifestOf(system, id)).outputs.flatMap((output) => ("key" in output ? [output.key] : []));
      return Promise.all(keys.map(async (key) => (await stat(join(system.dataDir, "files", key))).mtimeMs));
    };
    const before = await losingItsWrites(async () => {
      await system.restartWorker(0);
      await system.until(id, isFinished);
      await stopWorkers();
      return { manifest: await manifestOf(system, id), writtenAtMs: await writtenAtMs() };
    });
    expect((await system.read(id)).status).toBe("queued");
    await system.restartWorker(0);
    expect(await system.until(id, isFinished)).toMatchObject({ status: "succeeded", error: null });
    expect({ manifest: await manifestOf(system, id), writtenAtMs: await writtenAtMs() }).toEqual(before);
    expect(new Set(system.sink.received(id).map((one) => one.id)).size).toBe(1);
  }, 60_000);
});

/** Does something, and then Redis is as it was before. */
async function losingItsWrites<T>(act: () => Promise<T>): Promise<T> {
  const { redis } = system;
  const folder = join(dirname(redis.url), "appendonlydir");
  await system.redisCommand("CONFIG", "SET", "appendfsync", "always");
  await cp(folder, `${folder}-before`, { recursive: true });
  const result = await act();
  await redis.kill();
  await rm(folder, { recursive: true });
  await cp(`${folder}-before`, folder, { recursive: true });
  await redis.restart();
  const answers = async () => expect((await system.get("/v1/jobs?limit=1")).status).toBe(200);
  await vi.waitFor(answers, { timeout: 20_000, interval: 50 });
  return result;
}
