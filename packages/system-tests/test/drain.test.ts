import { afterAll, describe, expect, test } from "vitest";
import { type Lane, openLanes, timedJob } from "./lanes.ts";
import { setup } from "./setup.ts";
import {
  attemptsOf,
  expectOneAtATime,
  expectOneSuccess,
  expectToldOnce,
  promptsOf,
  standingAt,
  untilAllQuiet,
} from "./traces.ts";

// The second worker of each lane renders ten times faster, so that taking over is quick.
const simulatorArgs = (at: number) => (at % 2 === 0 ? [] : ["--speed", "10"]);
const system = await setup({ workers: 8, startWorkers: false, timeScale: 0.2, simulatorArgs });
afterAll(() => system[Symbol.asyncDispose]());
const onLane = openLanes(system);

interface Drained {
  readonly id: string;
  readonly pool: string;
}

/** A worker that renders for so long is told to stop, with so many seconds to do it in; it ends well. */
async function drain(lane: Lane, seconds: number, renderMs: number): Promise<Drained> {
  const pool = `pool-${Math.floor(Math.random() * 2 ** 40)}`;
  const worker = await system.restartWorker(lane.first, { COMFYQ_POOL: pool, COMFYQ_DRAIN_S: String(seconds) });
  const job = timedJob(renderMs, { pool, max_attempts: 1, webhook: { url: system.sink.url } });
  const { id } = await system.submit(job);
  await system.until(id, ({ stage }) => stage === "rendering");
  expect(await worker.stop("SIGTERM")).toBe(0);
  return { id, pool };
}

describe.concurrent("a worker that is told to stop", () => {
  test.for([120, 30, 5])("with %i s left ends what it renders within them", { timeout: 60_000 }, (seconds) =>
    onLane(async (lane) => {
      const { id } = await drain(lane, seconds, 1_500);
      await expectOneSuccess(system, id);
      expect(await attemptsOf(system, id)).toMatchObject([{ end: "succeeded" }]);
      await expectToldOnce(system, id, "job.succeeded");
    }),
  );

  test.for([
    [5, 9_000],
    [0, 3_000],
  ] as const)(
    "with %i s left, which are not enough, gives the job back; started again, it goes on from its prompt",
    { timeout: 60_000 },
    ([seconds, renderMs]) =>
      onLane(async (lane) => {
        const { id, pool } = await drain(lane, seconds, renderMs);
        expect(await system.read(id)).toMatchObject({ status: "queued", attempts: 1 });
        expect(await standingAt(String(system.instances[lane.first]))).toHaveLength(1);
        await system.restartWorker(lane.first, { COMFYQ_POOL: pool });
        await expectOneSuccess(system, id);
        expect(await promptsOf(system, id)).toMatchObject([{ submitted: 1, started: 1, outcome: "success" }]);
        expect(await attemptsOf(system, id)).toMatchObject([
          { end: "given_back", counted: false },
          { end: "succeeded" },
        ]);
        await expectToldOnce(system, id, "job.succeeded");
      }),
  );

  test("with 0 s left leaves its job to another worker, which stops the old prompt first", { timeout: 60_000 }, () =>
    onLane(async (lane) => {
      const { id, pool } = await drain(lane, 0, 8_000);
      await system.restartWorker(lane.second, { COMFYQ_POOL: pool });
      await expectOneSuccess(system, id);
      await expectOneAtATime(system, id);
      expect(await promptsOf(system, id)).toMatchObject([{ outcome: "interrupted" }, { outcome: "success" }]);
      expect(await attemptsOf(system, id)).toMatchObject([{ end: "given_back", counted: false }, { end: "succeeded" }]);
    }),
  );

  test(
    "while a prompt of its job waits behind another in ComfyUI finds it there when it is back",
    { timeout: 60_000 },
    () =>
      onLane(async (lane) => {
        const sleeper = { "1": { class_type: "SimSleep", inputs: { ms: 5_000, steps: 50 } } };
        const prompt = { ...sleeper, "2": { class_type: "PreviewAny", inputs: { source: ["1", 0] } } };
        await fetch(`${system.instances[lane.first]}/prompt`, { method: "POST", body: JSON.stringify({ prompt }) });
        const { id, pool } = await drain(lane, 0, 200);
        await system.restartWorker(lane.first, { COMFYQ_POOL: pool });
        await expectOneSuccess(system, id);
        expect(await promptsOf(system, id)).toMatchObject([{ submitted: 1, started: 1 }]);
      }),
  );
});

test("all workers are restarted in turn under load: every job ends once, none pays with an attempt, no prompt is left", async () => {
  const pool = "rolling";
  const env = { COMFYQ_POOL: pool, COMFYQ_DRAIN_S: "0" };
  const places = [0, 1, 2];
  await Promise.all(places.map((at) => system.restartWorker(at, env)));
  const body = () => timedJob(300, { pool, max_attempts: 1, webhook: { url: system.sink.url } });
  const jobs = await Promise.all(Array.from({ length: 24 }, () => system.submit(body())));
  for (const at of [...places, ...places]) {
    expect(await system.workers[at]?.stop("SIGTERM")).toBe(0);
    await system.restartWorker(at, env);
  }
  for (const { id } of jobs) {
    await expectOneSuccess(system, id);
    await expectOneAtATime(system, id);
    const attempts = await attemptsOf(system, id);
    expect(attempts.filter(({ counted }) => counted)).toMatchObject([{ end: "succeeded" }]);
    await expectToldOnce(system, id, "job.succeeded");
  }
  await untilAllQuiet(system);
}, 90_000);
