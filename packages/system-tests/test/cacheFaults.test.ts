import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Job, Manifest, type NewJobBody, type Workflow } from "@comfyq/contract";
import { expect, test, vi } from "vitest";
import { sampling } from "./graphs.ts";
import { isFinished, type SetupOptions, type System, setup } from "./setup.ts";

vi.setConfig({ testTimeout: 120_000 });

/** Locks of 3 s. */
const FAST: SetupOptions = { timeScale: 0.3, simulatorArgs: ["--step-ms", "100"] };

const startsOf = async (system: System) => (await system.history()).filter(({ op }) => op === "started").length;
const untilStarted = (system: System) => vi.waitUntil(async () => (await startsOf(system)) > 0, { timeout: 30_000 });
const submitMany = (system: System, body: NewJobBody, count: number) =>
  Promise.all(Array.from({ length: count }, () => system.submit(body)));
const untilEnded = (system: System, jobs: readonly Job[]) =>
  Promise.all(jobs.map(({ id }) => system.until(id, isFinished)));
const manifestOf = async ({ dataDir }: System, id: string): Promise<Manifest> =>
  Manifest.parse(JSON.parse(await readFile(join(dataDir, "files", "jobs", id, "manifest.json"), "utf8")));

test("the worker of the job that renders for others is killed: it is rendered once more, and all of them end", async () => {
  await using system = await setup({ ...FAST, workers: 2 });
  const jobs = await submitMany(system, { workflow: sampling(30), cache: "use" }, 6);
  await untilStarted(system);
  const rendering = (await system.history()).find(({ op }) => op === "claimed")?.actor;
  await system.workers.find(({ pid }) => pid === rendering)?.stop("SIGKILL");
  const ended = await untilEnded(system, jobs);
  expect(new Set(ended.map(({ status }) => status))).toEqual(new Set(["succeeded"]));
  expect(ended.filter(({ cached }) => !cached)).toHaveLength(1);
  expect(await startsOf(system)).toBe(2);
});

test("the job that renders for others is canceled: the next one renders, and the others have its result", async () => {
  await using system = await setup({ ...FAST, workers: 2 });
  const jobs = await submitMany(system, { workflow: sampling(40), cache: "use" }, 4);
  await untilStarted(system);
  const leader = (await system.history()).find(({ op }) => op === "started")?.job;
  await system.post(`/v1/jobs/${leader}/cancel`);
  const ended = await untilEnded(system, jobs);
  expect(ended.find(({ id }) => id === leader)?.status).toBe("canceled");
  const others = ended.filter(({ id }) => id !== leader);
  expect(others.map(({ status }) => status)).toEqual(others.map(() => "succeeded"));
  expect(others.filter(({ cached }) => !cached)).toHaveLength(1);
  expect(await startsOf(system)).toBe(2);
});

test("jobs that fail alike fail each by itself, one after the other", async () => {
  await using system = await setup({ ...FAST, workers: 2 });
  const workflow: Workflow = {
    "1": { class_type: "SimSleep", inputs: { ms: 200, steps: 2, value: "x" } },
    "2": { class_type: "SimError", inputs: { type: "ValueError", message: "no", input: ["1", 0] } },
    "3": { class_type: "SimOutput", inputs: { input: ["2", 0], bytes: 5_000, seed: 1, filename_prefix: "a" } },
  };
  const ended = await untilEnded(system, await submitMany(system, { workflow, cache: "use" }, 4));
  expect(ended.map(({ status, error }) => [status, error?.code])).toEqual(ended.map(() => ["failed", "node_failed"]));
  expect(await startsOf(system)).toBe(4);
});

test.each(["output_stored", "outputs_stored", "sealed", "settled"])(
  "the dispatcher is killed while it answers a job (%s): the job ends once, cached, without another render",
  async (point) => {
    // The worker renders after all when no dispatcher comes back within its patience, which a loaded machine needs whole.
    await using system = await setup({ ...FAST, timeScale: 0.6, env: { COMFYQ_CACHE: "use" } });
    const body: NewJobBody = { workflow: sampling(2), webhook: { url: system.sink.url } };
    const [first] = await untilEnded(system, [await system.submit(body)]);
    await system.dispatcher.stop("SIGKILL");
    const dying = await system.restartDispatcher({ FAILPOINT: `${point}:kill9` });
    const second = await system.submit(body);
    await dying.ended();
    await system.restartDispatcher();
    const [ended] = await untilEnded(system, [second]);
    expect(ended).toMatchObject({ status: "succeeded", cached: true });
    expect(ended?.outputs.map(({ hash }) => hash)).toEqual(first?.outputs.map(({ hash }) => hash));
    expect(await startsOf(system)).toBe(1);
    await vi.waitFor(() => expect(system.sink.received(second.id)).toHaveLength(1), 20_000);
    const { epoch, outputs } = await manifestOf(system, second.id);
    for (const output of outputs) expect("key" in output && output.key).toMatch(`jobs/${second.id}/${epoch}/`);
  },
);

test("the API is killed after it has queued a job and before it looked for the result: the job is answered all the same", async () => {
  await using system = await setup({ ...FAST });
  const body: NewJobBody = { workflow: sampling(2), cache: "use" };
  await untilEnded(system, [await system.submit(body)]);
  await system.api.stop("SIGKILL");
  const dying = await system.restartApi({ FAILPOINT: "queued_not_answered:kill9" });
  const headers = { "idempotency-key": "once" };
  await expect(system.post("/v1/jobs", body, headers)).rejects.toThrow();
  await dying.ended();
  await system.restartApi();
  const answer = await system.post("/v1/jobs", body, headers);
  expect(answer.headers.get("idempotency-replayed")).toBe("true");
  const [ended] = await untilEnded(system, [(await answer.json()) as Job]);
  expect(ended).toMatchObject({ status: "succeeded", cached: true });
  expect(await startsOf(system)).toBe(1);
});

test("a result whose files are gone is forgotten: the next identical job renders, and the one after it has that result", async () => {
  await using system = await setup({ ...FAST });
  const body: NewJobBody = { workflow: sampling(2), cache: "use" };
  const [first] = await untilEnded(system, [await system.submit(body)]);
  const manifest = await manifestOf(system, String(first?.id));
  await rm(join(system.dataDir, "files", "jobs", String(first?.id), String(manifest.epoch)), { recursive: true });
  const [second] = await untilEnded(system, [await system.submit(body)]);
  expect(second).toMatchObject({ status: "succeeded", cached: false });
  expect(await system.submit(body)).toMatchObject({ status: "succeeded", cached: true });
  await rm(join(system.dataDir, "files", "jobs", String(second?.id)), { recursive: true });
  const [last] = await untilEnded(system, [await system.submit(body)]);
  expect(last).toMatchObject({ status: "succeeded", cached: false });
  expect(await startsOf(system)).toBe(3);
});
