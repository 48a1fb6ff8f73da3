import { afterAll, describe, expect, test, vi } from "vitest";
import { type Lane, openLanes, timedJob } from "./lanes.ts";
import type { Running } from "./processes.ts";
import { type HistoryLine, isFinished, type System, setup } from "./setup.ts";
import { expectOneAtATime, expectOneSuccess, expectToldOnce, historyOf, manifestOf, promptsOf } from "./traces.ts";

// Locks of 2 s and a fence at 1.6 s.
const system = await setup({
  workers: 8,
  startWorkers: false,
  proxied: true,
  timeScale: 0.2,
  env: { COMFYQ_DRAIN_S: "0" },
});
afterAll(() => system[Symbol.asyncDispose]());
const onLane = openLanes(system);

interface Begun {
  readonly id: string;
  readonly pool: string;
  /** The worker that has begun the job, and shall lose it. */
  readonly ghost: Running;
}

/** One worker has reached the moment; nobody else is there yet. */
async function begin(where: System, lane: Lane, { moment, ms, env }: Beginning): Promise<Begun> {
  const pool = `pool-${Math.floor(Math.random() * 2 ** 40)}`;
  const ghost = await where.restartWorker(lane.first, { COMFYQ_POOL: pool, ...env });
  const { id } = await where.submit(timedJob(ms, { pool, webhook: { url: where.sink.url } }));
  const isThere = async () => expect((await historyOf(where, id)).map(({ op }) => op)).toContain(moment);
  await vi.waitFor(isThere, { timeout: 30_000, interval: 20 });
  return { id, pool, ghost };
}

interface Beginning {
  readonly moment: string;
  readonly ms: number;
  readonly env?: Readonly<Record<string, string>>;
}

/** The moments at which something of an attempt is sent, kept or ended. */
const DEEDS = ["submitted", "output_stored", "outputs_stored", "sealed"];

/** The ghost's attempt, the first, has done nothing from this moment on, and ended nothing ever. */
async function expectSilence(where: System, id: string, sinceMs: number): Promise<void> {
  const lines = (await historyOf(where, id)).filter(({ epoch }) => epoch === 1);
  expect(lines.filter(({ t, op }) => t >= sinceMs && DEEDS.includes(op))).toEqual([]);
  expect(lines.filter(({ op, ended }) => op === "settled" && ended === true)).toEqual([]);
  expect((await manifestOf(where, id)).epoch).toBeGreaterThan(1);
}

/** The ghost is no ghost any more: alone, it does the next job. */
async function expectBackAtWork(where: System, { second }: Lane, pool: string): Promise<void> {
  await where.workers[second]?.stop("SIGTERM");
  const { id } = await where.submit(timedJob(50, { pool }));
  expect(await where.until(id, isFinished)).toMatchObject({ status: "succeeded" });
}

const nowMs = () => performance.timeOrigin + performance.now();

interface CutOff {
  /** How long the render takes, and the line stays frozen. */
  readonly renderMs: number;
  readonly frozenMs: number;
  readonly env: Readonly<Record<string, string>>;
}

/** The line between a rendering worker and Redis freezes; meanwhile there is another worker. */
async function cutOff(where: System, lane: Lane, { renderMs, frozenMs, env }: CutOff): Promise<void> {
  const { id, pool, ghost } = await begin(where, lane, { moment: "executing", ms: renderMs, env });
  const line = where.lines.workers[lane.first];
  const frozenAtMs = nowMs();
  line?.freeze();
  const frozen = new Promise((resolve) => setTimeout(resolve, frozenMs));
  await where.restartWorker(lane.second, { ...env, COMFYQ_POOL: pool });
  await expectOneSuccess(where, id);
  await expectOneAtATime(where, id);
  const history = await historyOf(where, id);
  expect(history.some(({ op, actor }) => op === "stopped" && actor === ghost.pid)).toBe(true);
  const ended = history.find(({ op, epoch }) => op === "ended" && epoch === 1);
  const resumed = history.find(({ op, epoch }) => op === "claimed" && epoch !== 1);
  expect(ended?.t).toBeLessThan(resumed?.t ?? 0);
  expect(await promptsOf(where, id)).toMatchObject([{ outcome: "interrupted" }, { outcome: "success" }]);
  await frozen;
  await line?.thaw();
  await expectBackAtWork(where, lane, pool);
  await expectSilence(where, id, frozenAtMs);
  await expectToldOnce(where, id, "job.succeeded");
}

describe.concurrent("a worker cut off from Redis", () => {
  test(
    "stops its prompt itself, before anybody starts the job again, and is back at work afterwards",
    { timeout: 60_000 },
    () =>
      // Slower than the others: on a busy machine a fifth of the pace leaves too little between fence and lock.
      onLane((lane) => cutOff(system, lane, { renderMs: 5_000, frozenMs: 0, env: { COMFYQ_TIME_SCALE: "0.4" } })),
  );

  test("does not seal what it has stored, though it could before the other one does", { timeout: 60_000 }, () =>
    onLane(async (lane) => {
      // It comes to itself 3 s later: its lock of 2 s is gone, and whoever has it renders for 2 s more.
      const env = { FAILPOINT: "outputs_stored:delay:3000@1" };
      const { id, pool } = await begin(system, lane, { moment: "outputs_stored", ms: 2_000, env });
      const frozenAtMs = nowMs();
      system.lines.workers[lane.first]?.freeze();
      await system.restartWorker(lane.second, { COMFYQ_POOL: pool });
      await expectOneSuccess(system, id);
      await system.lines.workers[lane.first]?.thaw();
      await expectBackAtWork(system, lane, pool);
      await expectSilence(system, id, frozenAtMs);
      await expectToldOnce(system, id, "job.succeeded");
    }),
  );
});

/** Stops a worker in the middle of a render for so long; meanwhile there is another. */
async function sleepThrough(where: System, lane: Lane, { ms, env }: Sleep): Promise<void> {
  const { id, pool, ghost } = await begin(where, lane, { moment: "executing", ms: 3_000, env });
  process.kill(ghost.pid, "SIGSTOP");
  const sleep = new Promise((resolve) => setTimeout(resolve, ms));
  await where.restartWorker(lane.second, { ...env, COMFYQ_POOL: pool });
  await sleep;
  const wokenAtMs = nowMs();
  process.kill(ghost.pid, "SIGCONT");
  await expectOneSuccess(where, id);
  await expectOneAtATime(where, id);
  await expectFenced(where, id, ghost);
  await expectBackAtWork(where, lane, pool);
  await expectSilence(where, id, wokenAtMs);
  await expectToldOnce(where, id, "job.succeeded");
}

interface Sleep {
  readonly ms: number;
  readonly env: Readonly<Record<string, string>>;
}

async function expectFenced(where: System, id: string, ghost: Running): Promise<void> {
  const isFenced = ({ op, actor }: HistoryLine) => op === "fenced" && actor === ghost.pid;
  await vi.waitFor(async () => expect((await historyOf(where, id)).some(isFenced)).toBe(true), { timeout: 30_000 });
}

describe.concurrent("a worker that sleeps (SIGSTOP) for", () => {
  test.for([20, 60, 120])(
    "%i s, at a tenth of the pace: wakes as a ghost, says nothing, and takes the next job",
    { timeout: 90_000 },
    (seconds) => onLane((lane) => sleepThrough(system, lane, { ms: seconds * 100, env: { COMFYQ_TIME_SCALE: "0.1" } })),
  );

  test(
    "45 s on its feet, at a fifth of the pace: its event loop stands still, then it is a ghost",
    { timeout: 90_000 },
    () =>
      onLane(async (lane) => {
        const env = { FAILPOINT: "executing:block:9000@1" };
        const { id, pool, ghost } = await begin(system, lane, { moment: "executing", ms: 2_000, env });
        const blockedAtMs = nowMs();
        await system.restartWorker(lane.second, { COMFYQ_POOL: pool });
        await expectOneSuccess(system, id);
        await expectOneAtATime(system, id);
        await expectFenced(system, id, ghost);
        await expectBackAtWork(system, lane, pool);
        await expectSilence(system, id, blockedAtMs);
        await expectToldOnce(system, id, "job.succeeded");
      }),
  );
});

const isLong = process.env["COMFYQ_LONG_TESTS"] === "1";

test.runIf(isLong)(
  "at the real pace: a worker that sleeps for 20, 60 and 120 s, and one whose line is frozen for 100 s (COMFYQ_LONG_TESTS=1)",
  async () => {
    await using real = await setup({ workers: 8, startWorkers: false, proxied: true, env: { COMFYQ_DRAIN_S: "0" } });
    const onRealLane = openLanes(real);
    const sleeping = [20, 60, 120].map((seconds) =>
      onRealLane((lane) => sleepThrough(real, lane, { ms: seconds * 1_000, env: {} })),
    );
    const frozen = onRealLane((lane) => cutOff(real, lane, { renderMs: 12_000, frozenMs: 100_000, env: {} }));
    await Promise.all([...sleeping, frozen]);
  },
  300_000,
);
