import type { NewJobBody } from "@comfyq/contract";
import { afterAll, describe, expect, test } from "vitest";
import { freshPixel } from "./graphs.ts";
import { openLanes, timedJob } from "./lanes.ts";
import { setup } from "./setup.ts";
import {
  attemptsOf,
  expectOneAtATime,
  expectOneSuccess,
  expectToldOnce,
  lostGpuMs,
  promptsOf,
  standingAt,
  untilDead,
} from "./traces.ts";

/** K1 to K11 of reference/faults.md; the dispatcher's K12 has its own file. */
const POINTS = [
  "claimed",
  "inputs_downloading",
  "uploaded",
  "journaled",
  "submitted",
  "executing",
  "rendered",
  "output_stored",
  "outputs_stored",
  "sealed",
  "settled",
] as const;
type Point = (typeof POINTS)[number];

const system = await setup({
  workers: 8,
  startWorkers: false,
  timeScale: 0.2,
  // Whoever takes over renders ten times faster, so that long renders are long only where that matters.
  simulatorArgs: (at) => (at % 2 === 0 ? [] : ["--speed", "10"]),
  env: { COMFYQ_DRAIN_S: "0" },
});
afterAll(() => system[Symbol.asyncDispose]());

const onLane = openLanes(system);

/** One input, a render of so long, two outputs: it passes every kill point. */
function passingAll(pool: string, ms: number): NewJobBody {
  const { workflow } = timedJob(ms);
  const image = { class_type: "LoadImage", inputs: { image: "pose.png" } };
  const preview = { class_type: "PreviewImage", inputs: { images: ["in", 0] } };
  return {
    pool,
    workflow: { ...workflow, in: image, seen: preview },
    inputs: { "in.inputs.image": `data:image/png;base64,${freshPixel().toString("base64")}` },
    webhook: { url: system.sink.url },
  };
}

/** Long enough to be still running when the next worker comes, where that is what the test is about. */
const renderMs = (point: Point) => (point === "submitted" || point === "executing" ? 6_000 : 300);

/** Submits a job and waits until its worker has killed itself at the point. @returns the job's id */
async function killAt(point: Point, at: number, pool: string): Promise<string> {
  const doomed = await system.restartWorker(at, { COMFYQ_POOL: pool, FAILPOINT: `${point}:kill9@1` });
  const { id } = await system.submit(passingAll(pool, renderMs(point)));
  expect(await untilDead(system, doomed, id)).toBeNull(); // by a signal
  return id;
}

/** What each death cost of the GPU, in ms, for the table. */
const lost = { byReturn: new Map<Point, number>(), byTakeover: new Map<Point, number>() };
afterAll(() => {
  const show = (ms: number | undefined) => (ms === undefined ? "not known" : `${Math.round(ms)} ms`);
  const rows = POINTS.map((point, index) =>
    [`K${index + 1} ${point}`, show(lost.byReturn.get(point)), show(lost.byTakeover.get(point))].join("\t"),
  );
  console.info(`GPU time lost by kill -9, when the worker returns and when another takes over:\n${rows.join("\n")}`);
});

describe.concurrent("a worker killed at a point and started again on the same instance ends its job, with one render in all:", () => {
  test.for(POINTS)("%s", { timeout: 120_000 }, (point) =>
    onLane(async ({ first: at }) => {
      const pool = `same-${POINTS.indexOf(point)}`;
      const id = await killAt(point, at, pool);
      await system.restartWorker(at, { COMFYQ_POOL: pool });
      await expectOneSuccess(system, id);
      await expectToldOnce(system, id, "job.succeeded");
      expect(await promptsOf(system, id)).toMatchObject([{ submitted: 1, started: 1, outcome: "success" }]);
      const lostMs = await lostGpuMs(system, id);
      lost.byReturn.set(point, lostMs);
      expect(lostMs).toBe(0);
    }),
  );
});

describe.concurrent("a worker killed at a point that stays dead is replaced by another, after its prompt is gone from its instance:", () => {
  test.for(POINTS)("%s", { timeout: 120_000 }, (point) =>
    onLane(async ({ first: at, second }) => {
      const pool = `other-${POINTS.indexOf(point)}`;
      const id = await killAt(point, at, pool);
      await system.restartWorker(second, { COMFYQ_POOL: pool });
      await expectOneSuccess(system, id);
      await expectToldOnce(system, id, "job.succeeded");
      expect(await standingAt(String(system.instances[at]))).toEqual([]);
      const seen = await promptsOf(system, id);
      expect(seen.length).toBeLessThanOrEqual(2);
      expect(seen.every(({ submitted, started }) => submitted === 1 && started <= 1)).toBe(true);
      lost.byTakeover.set(point, await lostGpuMs(system, id));
      await expectOneAtATime(system, id);
    }),
  );
});

test(
  "a prompt that still waits in ComfyUI's own queue is found there too, and rendered once",
  { timeout: 60_000 },
  () =>
    onLane(async ({ first: at }) => {
      const foreign = { "1": { class_type: "SimSleep", inputs: { ms: 6_000, steps: 50 } } };
      const prompt = { ...foreign, "2": { class_type: "PreviewAny", inputs: { source: ["1", 0] } } };
      const posted = fetch(`${system.instances[at]}/prompt`, { method: "POST", body: JSON.stringify({ prompt }) });
      expect((await posted).status).toBe(200);
      const id = await killAt("submitted", at, "pending");
      expect(await standingAt(String(system.instances[at]))).toHaveLength(2);
      await system.restartWorker(at, { COMFYQ_POOL: "pending" });
      await expectOneSuccess(system, id);
      expect(await promptsOf(system, id)).toMatchObject([{ submitted: 1, started: 1 }]);
      expect(await attemptsOf(system, id)).toMatchObject([{ end: null }, { end: "succeeded" }]);
    }),
);
