import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Workflow } from "@comfyq/contract";
import { expect, test, vi } from "vitest";
import {
  eventually,
  type House,
  historyOf,
  isEnded,
  leavePrompt,
  manifestOf,
  queueOf,
  setup,
  sleeper,
} from "./setup.ts";

vi.setConfig({ testTimeout: 60_000 });

const attemptsOf = async (house: House, id: string) => (await house.producer.attempts("default", id)) ?? [];
const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";
const STILL_LIFE: Workflow = {
  "1": { class_type: "EmptyImage", inputs: { width: 64, height: 64, batch_size: 1, color: 7 } },
  "2": { class_type: "SaveImage", inputs: { images: ["1", 0], filename_prefix: "a" } },
};
/** Restarts the simulator, as an operator would restart ComfyUI. */
const RESTART = `${process.execPath} -e 'fetch(process.env.COMFYUI_URL + "/simulator/restart", { method: "POST" })'`;

test("a ComfyUI that restarts after rendering, before its files were fetched, costs no second render", async () => {
  const house = await setup();
  const simulator = await house.simulator();
  await house.worker(simulator.url);
  simulator.faults.add({ kind: "http_500", path: "/view", when: "after", status: 503, times: 1_000 });
  const job = await house.submit(sleeper(20, 1));
  await house.until(job, ({ stage }) => stage === "storing");
  await eventually(() => (simulator.stats().requests["GET /view"] ?? 0) > 0);
  await simulator.restart(500);
  simulator.faults.clear();
  expect(await house.until(job, isEnded)).toMatchObject({ status: "succeeded", attempts: 1 });
  expect(simulator.stats().prompts.map(({ started }) => started)).toEqual([1]);
});

test("a file whose bytes break off on the way is fetched again", async () => {
  const house = await setup();
  const simulator = await house.simulator();
  await house.worker(simulator.url);
  simulator.faults.add({ kind: "http_reset", path: "/view", when: "after", times: 2 });
  const job = await house.submit(sleeper(20, 1));
  const ended = await house.until(job, isEnded);
  expect(ended).toMatchObject({ status: "succeeded", attempts: 1, outputs: [{ size_bytes: 5_000 }] });
});

test("an upload that fails is tried again within the same attempt", async () => {
  const house = await setup();
  const simulator = await house.simulator();
  await house.worker(simulator.url);
  simulator.faults.add({ kind: "upload_fail", times: 2 });
  const workflow: Workflow = {
    "1": { class_type: "LoadImage", inputs: { image: "x.png" } },
    "2": { class_type: "SaveImage", inputs: { images: ["1", 0], filename_prefix: "a" } },
  };
  const job = await house.submit(workflow, { inputs: { "1.inputs.image": `data:image/png;base64,${PIXEL}` } });
  expect(await house.until(job, isEnded)).toMatchObject({ status: "succeeded", attempts: 1 });
});

test("a cancel that comes while ComfyUI is still taking the prompt leaves no prompt behind", async () => {
  const house = await setup();
  const simulator = await house.simulator();
  await house.worker(simulator.url);
  simulator.faults.add({ kind: "http_slow", path: "/prompt", method: "POST", when: "before", ms: 1_000 });
  const job = await house.submit(sleeper(60_000, 6_000));
  await house.until(job, ({ stage }) => stage === "submitted");
  await house.producer.cancel("default", job);
  const ended = await house.until(job, isEnded);
  expect(ended).toMatchObject({ status: "canceled", stop: { escalation: "none", ignored_by: null } });
  expect(ended.stop?.stop_ms).toBeGreaterThan(0);
  expect(simulator.stats().prompts).toHaveLength(1); // it had arrived
  expect(await queueOf(simulator.url)).toEqual([]);
  const next = await house.submit(sleeper(20, 1));
  await house.until(next, isEnded);
  expect(simulator.stats().prompts.map(({ outcome }) => outcome)).toContain("success");
});

test("a workflow that ComfyUI took only in part is no success, also when its worker was lost before it read the answer", async () => {
  const house = await setup();
  const simulator = await house.simulator();
  const partial = { ...STILL_LIFE, "9": { class_type: "PreviewAny", inputs: {} } };
  const job = await house.submit(partial);
  const dead = await house.claimer(simulator.url);
  const held = await dead.claim();
  const promptId = await leavePrompt(simulator.url, partial, { job_id: job, epoch: 1 });
  await held?.journal({ prompt_id: promptId, stage: "submitted" });
  await dead.close();
  const next = await house.submit(partial);
  await house.worker(simulator.url);
  for (const id of [job, next])
    expect(await house.until(id, isEnded)).toMatchObject({
      status: "failed",
      error: { code: "workflow_rejected", node_id: "9", blame: "customer" },
    });
  expect(await queueOf(simulator.url)).toEqual([]);
});

test("canceled is said when the GPU has stopped: a node that ignores interrupts is named, and nothing runs beside it", async () => {
  const house = await setup();
  const simulator = await house.simulator();
  await house.worker(simulator.url, { COMFYQ_CANCEL_S: "1" });
  const job = await house.submit(sleeper(6_000, 0));
  await eventually(() => simulator.stats().prompts[0]?.started === 1);
  const next = await house.submit(sleeper(20, 1));
  await house.producer.cancel("default", job);
  const canceled = await house.until(job, isEnded);
  expect(canceled).toMatchObject({
    status: "canceled",
    stop: { ignored_by: { node_id: "1", class_type: "SimSleep" }, escalation: "free" },
  });
  expect((await house.until(next, isEnded)).status).toBe("succeeded");
  const [stuck, second] = simulator.stats().prompts;
  expect(second?.acceptedAtMs).toBeGreaterThanOrEqual(stuck?.executionEndAtMs ?? Number.POSITIVE_INFINITY);
});

test("what ignores interrupts is ended by the restart command, and the job says so", async () => {
  const house = await setup();
  const simulator = await house.simulator();
  await house.worker(simulator.url, { COMFYQ_CANCEL_S: "4", COMFYUI_RESTART_COMMAND: RESTART });
  const job = await house.submit(sleeper(3_600_000, 0));
  await eventually(() => simulator.stats().prompts[0]?.started === 1);
  await house.producer.cancel("default", job);
  expect(await house.until(job, isEnded)).toMatchObject({
    status: "canceled",
    stop: { ignored_by: { class_type: "SimSleep" }, escalation: "restart", stop_ms: expect.any(Number) },
  });
  const next = await house.submit(sleeper(20, 1));
  expect((await house.until(next, isEnded)).status).toBe("succeeded");
});

test("a prompt that falls silent on a healthy ComfyUI is the workflow's fault, and uses up an attempt", async () => {
  const house = await setup();
  const simulator = await house.simulator({ execMs: 2_500 }); // in silence, canaries too; and yet it can be interrupted
  const worker = await house.worker(simulator.url, { COMFYQ_STALL_S: "1" });
  const job = await house.submit(STILL_LIFE, { max_attempts: 1 });
  const failed = await house.until(job, isEnded);
  expect(failed).toMatchObject({ status: "failed", error: { code: "stalled", blame: "workflow" } });
  expect(worker.instance.standing()).toEqual({ kind: "well" });
});

test("a job that somebody else's prompt keeps waiting is given back, and nobody is blamed", async () => {
  const house = await setup();
  const simulator = await house.simulator();
  const foreign = await leavePrompt(simulator.url, sleeper(3_600_000, 10_000), undefined);
  const worker = await house.worker(simulator.url, { COMFYQ_STALL_S: "1", COMFYUI_RESTART_COMMAND: RESTART });
  const job = await house.submit(sleeper(20, 1), { max_attempts: 1 });
  await eventually(async () => (await attemptsOf(house, job)).filter(({ end }) => end === "given_back").length === 3);
  expect(worker.instance.standing().kind).not.toBe("quarantined");
  expect(await queueOf(simulator.url)).toContain(foreign);
  await fetch(`${simulator.url}/interrupt`, { method: "POST" });
  expect((await house.until(job, isEnded)).status).toBe("succeeded");
});

test("a ComfyUI that answers and runs nothing is quarantined, and its job keeps its attempts", async () => {
  const house = await setup();
  const simulator = await house.simulator();
  const worker = await house.worker(simulator.url, { COMFYQ_STALL_S: "1", COMFYQ_CANCEL_S: "1", COMFYQ_CANARY_S: "2" });
  simulator.faults.add({ kind: "zombie", at: "executing", times: 1 });
  const job = await house.submit(sleeper(20, 1), { max_attempts: 1 });
  await eventually(() => worker.instance.standing().kind === "quarantined");
  await house.until(job, ({ status }) => status === "queued");
  const [first] = await attemptsOf(house, job);
  expect(first).toMatchObject({ end: "failed", counted: false, error: { code: "comfyui_zombie", blame: "instance" } });
  await simulator.restart();
  expect((await house.until(job, isEnded)).status).toBe("succeeded");
});

test("out of memory frees the instance and is tried once more there, where there is no elsewhere", async () => {
  const house = await setup();
  const simulator = await house.simulator();
  await house.worker(simulator.url);
  simulator.faults.add({ kind: "oom_next", times: 1 });
  const job = await house.submit(sleeper(20, 1));
  expect(await house.until(job, isEnded)).toMatchObject({ status: "succeeded", attempts: 2 });
  expect(simulator.stats().requests["POST /free"]).toBe(1);
});

test("a worker that is cut off from Redis stops its prompt before another may start, stores nothing, and the job runs again", async () => {
  const house = await setup();
  const simulator = await house.simulator();
  await house.worker(simulator.url);
  const job = await house.submit(sleeper(4_000, 400));
  await eventually(() => simulator.stats().prompts[0]?.started === 1);
  process.kill(house.redis.pid, "SIGSTOP");
  try {
    await eventually(() => simulator.stats().prompts[0]?.outcome !== undefined);
    expect(simulator.stats().prompts[0]?.outcome).toBe("interrupted");
    expect(await queueOf(simulator.url)).toEqual([]);
    expect(await manifestOf(house.files, job)).toBeUndefined();
  } finally {
    process.kill(house.redis.pid, "SIGCONT");
  }
  expect((await house.until(job, isEnded)).status).toBe("succeeded");
  expect((await manifestOf(house.files, job))?.epoch).toBe(2);
});

test("a worker that takes a job over stops what the lost one left at its own ComfyUI, and stores its own files only", async () => {
  const house = await setup();
  const [lost, fresh] = [await house.simulator(), await house.simulator()];
  const workflow = sleeper(60_000, 6_000);
  const job = await house.submit(workflow);
  const dead = await house.claimer(lost.url);
  const held = await dead.claim();
  const promptId = await leavePrompt(lost.url, workflow, { job_id: job, epoch: 1 });
  await held?.journal({ prompt_id: promptId, stage: "rendering" });
  await dead.close();
  await house.worker(fresh.url);
  await eventually(() => fresh.stats().prompts[0]?.started === 1);
  expect(lost.stats().prompts[0]?.outcome).toBe("interrupted");
  expect(await queueOf(lost.url)).toEqual([]);
  await house.producer.cancel("default", job);
  await house.until(job, isEnded);
});

test("a canceled job whose worker was lost is stopped at that ComfyUI before it is said to be canceled", async () => {
  const house = await setup();
  const [lost, fresh] = [await house.simulator(), await house.simulator()];
  const workflow = sleeper(60_000, 6_000);
  const job = await house.submit(workflow);
  const dead = await house.claimer(lost.url);
  const held = await dead.claim();
  const promptId = await leavePrompt(lost.url, workflow, { job_id: job, epoch: 1 });
  await held?.journal({ prompt_id: promptId, stage: "rendering" });
  await dead.close();
  await house.producer.cancel("default", job);
  await house.worker(fresh.url);
  expect((await house.until(job, isEnded)).status).toBe("canceled");
  expect(await queueOf(lost.url)).toEqual([]);
  expect(fresh.stats().prompts).toHaveLength(0);
});

test("a model that only the neighbour has is found there, and costs no attempt", async () => {
  const house = await setup();
  const poor = await house.simulator({ models: { checkpoints: ["other.safetensors"] } });
  const rich = await house.simulator({ models: { checkpoints: ["wanted.safetensors"] } });
  await Promise.all([house.worker(poor.url), house.worker(rich.url)]);
  const idle = async () => (await house.producer.workers()).filter(({ state }) => state === "idle");
  await eventually(async () => (await idle()).length === 2);
  const workflow: Workflow = {
    "1": { class_type: "CheckpointLoaderSimple", inputs: { ckpt_name: "wanted.safetensors" } },
    "2": { class_type: "EmptyLatentImage", inputs: { width: 64, height: 64, batch_size: 1 } },
    "3": { class_type: "VAEDecode", inputs: { samples: ["2", 0], vae: ["1", 2] } },
    "4": { class_type: "SaveImage", inputs: { images: ["3", 0], filename_prefix: "a" } },
  };
  const jobs = await Promise.all(Array.from({ length: 4 }, () => house.submit(workflow, { max_attempts: 1 })));
  for (const id of jobs)
    expect(await house.until(id, isEnded)).toMatchObject({ status: "succeeded", instance: rich.url });
});

test("whatever came of them, nothing of ended jobs stays in ComfyUI's history or on this machine's disk", async () => {
  const house = await setup();
  const simulator = await house.simulator();
  await house.worker(simulator.url);
  const failing: Workflow = {
    "1": { class_type: "SimError", inputs: { type: "ValueError", message: "x" } },
    "2": { class_type: "PreviewAny", inputs: { source: ["1", 0] } },
  };
  const jobs = [await house.submit(sleeper(20, 1)), await house.submit(failing)];
  for (const id of jobs) await house.until(id, isEnded);
  await eventually(async () => (await historyOf(simulator.url)).length === 0);
  expect(await readdir(join(house.files, "store", "jobs"))).toEqual([jobs[0]]);
});

test("a large value becomes a file, and small ones stay in the job", async () => {
  const house = await setup();
  const simulator = await house.simulator();
  await house.worker(simulator.url);
  const text = "x".repeat(100_000);
  const show = (source: string): Workflow[string] => ({ class_type: "PreviewAny", inputs: { source: [source, 0] } });
  const workflow: Workflow = {
    "1": { class_type: "PrimitiveString", inputs: { value: text } },
    "2": show("1"),
    "3": { class_type: "PrimitiveString", inputs: { value: "small" } },
    "4": show("3"),
  };
  const { outputs } = await house.until(await house.submit(workflow), isEnded);
  expect(outputs.map(({ node_id, type }) => [node_id, type])).toEqual([
    ["2", "text"],
    ["4", "value"],
  ]);
  const [large] = outputs;
  const key = large && "key" in large ? large.key : "";
  expect(await readFile(join(house.files, "store", key), "utf8")).toBe(text);
});
