import type { Job, NewJobBody } from "@comfyq/contract";
import { afterAll, describe, expect, test, vi } from "vitest";
import { freshPixel } from "./graphs.ts";
import { timedJob } from "./lanes.ts";
import { isFinished, readJson, setup } from "./setup.ts";
import { attemptsOf, historyOf, promptsOf, standingAt, untilAllQuiet } from "./traces.ts";

/** Two workers race at the real pace; the third has a pool of its own, for the stages. */
const system = await setup({
  workers: 3,
  env: { COMFYQ_DRAIN_S: "0" },
  workerEnv: (at) => (at === 2 ? { COMFYQ_POOL: "stages" } : {}),
});
afterAll(() => system[Symbol.asyncDispose]());

const CANCELS = 500;
const WITNESSES = 60;

interface Raced {
  readonly id: string;
  /** What the request to cancel was answered: 200 or 409; undefined when nobody asked. */
  readonly answered: number | undefined;
  /** The status in that answer. */
  readonly said: string | undefined;
  /** The first terminal status that was seen. */
  readonly ended: Job["status"];
}

/** How long jobs take here and now, so that cancels meet their ends on a fast machine and on a slow one. */
let typicalMs = 100;

async function race(mayCancel: boolean): Promise<Raced> {
  const submittedAtMs = performance.now();
  const { id } = await system.submit(timedJob(Math.random() * 20, { webhook: { url: system.sink.url } }));
  if (mayCancel) await new Promise((resolve) => setTimeout(resolve, Math.random() * 1.3 * typicalMs));
  const answer = mayCancel ? await system.post(`/v1/jobs/${id}/cancel`) : undefined;
  const body = answer && (await readJson<{ status?: string }>(answer));
  const { status } = await system.until(id, isFinished);
  if (!mayCancel) typicalMs += (performance.now() - submittedAtMs - typicalMs) * 0.2;
  return { id, answered: answer?.status, said: body?.status, ended: status };
}

/** So many lanes run so many races, one after the other in each. */
async function runRaces(lanes: number, count: number, mayCancel: boolean): Promise<readonly Raced[]> {
  let left = count;
  const raced: Raced[] = [];
  const lane = async () => {
    while (left > 0) {
      left -= 1;
      raced.push(await race(mayCancel));
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return raced;
}

/** Prompts of every job, over all instances, and what became of them. */
async function promptsByJob(): Promise<ReadonlyMap<string, readonly SeenPrompt[]>> {
  const all = await Promise.all(
    system.instances.map((instance) => readJson<{ prompts: SeenPrompt[] }>(fetch(`${instance}/simulator/stats`))),
  );
  return Map.groupBy(
    all.flatMap(({ prompts }) => prompts),
    ({ job }) => job ?? "",
  );
}

interface SeenPrompt {
  readonly job?: string;
  readonly started: number;
  readonly submitted: number;
  readonly outcome?: string;
}

test(`${CANCELS} cancels race against completion: each job ends once, and no other job loses its prompt`, async () => {
  const [canceled, witnesses] = await Promise.all([runRaces(5, CANCELS, true), runRaces(1, WITNESSES, false)]);
  expect(witnesses.map(({ ended }) => ended)).toEqual(witnesses.map(() => "succeeded"));
  const untrue = canceled.filter(
    ({ answered, said, ended }) =>
      !(answered === 409 && ended === "succeeded") &&
      !(answered === 200 && said === "canceled" && ended === "canceled") &&
      !(answered === 200 && said === "canceling" && (ended === "canceled" || ended === "succeeded")),
  );
  expect(untrue).toEqual([]);
  // Else it was no race.
  expect(canceled.filter(({ ended }) => ended === "canceled").length).toBeGreaterThan(CANCELS / 20);
  expect(canceled.filter(({ ended }) => ended === "succeeded").length).toBeGreaterThan(CANCELS / 20);
  await untilAllQuiet(system);
  const prompts = await promptsByJob();
  for (const { id, ended } of [...canceled, ...witnesses]) {
    const seen = prompts.get(id) ?? [];
    expect(seen.every(({ started, submitted }) => started <= 1 && submitted === 1)).toBe(true);
    expect(seen.length).toBeLessThanOrEqual(1);
    if (ended === "succeeded") expect(seen).toMatchObject([{ outcome: "success" }]);
    expect(await system.read(id)).toMatchObject({ status: ended, error: null });
  }
  await expectAllTold([...canceled, ...witnesses]);
}, 120_000);

/** Each end was told as what it was, once. */
async function expectAllTold(raced: readonly Raced[]): Promise<void> {
  const untold = () => raced.filter(({ id }) => system.sink.received(id).length === 0);
  await vi.waitFor(() => expect(untold()).toEqual([]), { timeout: 30_000, interval: 100 });
  const told = raced.map(({ id }) => system.sink.received(id).map(({ event }) => event.type));
  expect(told).toEqual(raced.map(({ ended }) => [`job.${ended}`]));
}

/** Stages in the order in which a job meets them; its worker pauses at each the first time it gets there. */
const STAGES = [
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
] as const;

/** Its picture is new each time, or the instance would have it already and nothing were fetched and uploaded. */
const staged = (): NewJobBody => ({
  ...timedJob(1_000),
  workflow: { ...timedJob(1_000).workflow, in: { class_type: "LoadImage", inputs: { image: "pose.png" } } },
  inputs: { "in.inputs.image": `data:image/png;base64,${freshPixel().toString("base64")}` },
  pool: "stages",
});

describe("a cancel ends a job once, at whatever stage it comes:", () => {
  test("while it is queued, it is canceled at once", async () => {
    const { id } = await system.submit({ ...staged(), pool: "nobody" });
    expect(await readJson(system.post(`/v1/jobs/${id}/cancel`))).toMatchObject({ status: "canceled" });
    expect(await system.read(id)).toMatchObject({ status: "canceled", attempts: 0 });
  });

  test(`${STAGES.join(", ")}: it is canceled, its prompt is gone, and the next job runs`, async () => {
    await system.workers[2]?.stop("SIGTERM");
    const FAILPOINT = STAGES.map((stage) => `${stage}:delay:1500@1`).join(",");
    await system.restartWorker(2, { FAILPOINT });
    for (const stage of STAGES) {
      const { id } = await system.submit(staged());
      const isThere = async () => expect((await historyOf(system, id)).map(({ op }) => op)).toContain(stage);
      await vi.waitFor(isThere, { timeout: 10_000, interval: 20 });
      const answer = await system.post(`/v1/jobs/${id}/cancel`);
      const { status } = await readJson<Job>(answer); // quick as it is, it may be over already
      const isTooLate = stage === "sealed" && answer.status === 409; // it has succeeded meanwhile
      if (!isTooLate) expect([stage, status]).toEqual([stage, expect.stringMatching(/^cancel(ing|ed)$/)]);
      const job = await system.until(id, isFinished);
      // Sealed is succeeded, and only to be said.
      expect([stage, job.status]).toEqual([
        stage,
        stage === "sealed" ? expect.stringMatching(/^(succeeded|canceled)$/) : "canceled",
      ]);
      const standing = await standingAt(String(system.instances[2]));
      expect([stage, standing]).toEqual([stage, []]);
      const isSent = STAGES.indexOf(stage) >= STAGES.indexOf("submitted");
      expect([stage, (await promptsOf(system, id)).length]).toEqual([stage, isSent ? 1 : 0]);
      if (stage === "executing") expect(job.stop).toMatchObject({ stop_ms: expect.any(Number), ignored_by: null });
    }
    const { id } = await system.submit(staged());
    expect(await system.until(id, isFinished)).toMatchObject({ status: "succeeded", attempts: 1 });
    const late = await system.post(`/v1/jobs/${id}/cancel`);
    expect([late.status, (await system.read(id)).status]).toEqual([409, "succeeded"]);
  }, 60_000);

  test("while it waits in ComfyUI's own queue: it is canceled, and the prompt before it is not touched", async () => {
    const sleeper = { "1": { class_type: "SimSleep", inputs: { ms: 2_000, steps: 20, value: String(Math.random()) } } };
    const prompt = { ...sleeper, "2": { class_type: "PreviewAny", inputs: { source: ["1", 0] } } };
    const posted = await fetch(`${system.instances[2]}/prompt`, { method: "POST", body: JSON.stringify({ prompt }) });
    const { prompt_id: foreign } = await readJson<{ prompt_id: string }>(posted);
    const { id } = await system.submit(staged());
    await vi.waitFor(async () => expect(await standingAt(String(system.instances[2]))).toHaveLength(2), 10_000);
    await system.post(`/v1/jobs/${id}/cancel`);
    expect(await system.until(id, isFinished)).toMatchObject({ status: "canceled" });
    expect(await promptsOf(system, id)).toMatchObject([{ started: 0 }]);
    expect(await attemptsOf(system, id)).toMatchObject([{ end: "canceled" }]);
    const fate = async () => readJson<Record<string, unknown>>(fetch(`${system.instances[2]}/history/${foreign}`));
    await vi.waitFor(
      async () => expect(await fate()).toMatchObject({ [foreign]: { status: { status_str: "success" } } }),
      10_000,
    );
  }, 60_000);
});
