import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { connectComfyUi } from "@comfyq/comfyui";
import { jobFailure } from "@comfyq/contract";
import { expect, onTestFinished, test, vi } from "vitest";
import { learnInstance } from "../src/instance/learnInstance.ts";
import { eventually, historyOf, isEnded, leavePrompt, queueOf, setup, sleeper } from "./setup.ts";

vi.setConfig({ testTimeout: 60_000 });

test("of two workers pointed at one ComfyUI the second refuses, says who has it, and takes over when the first is gone", async () => {
  const house = await setup();
  const simulator = await house.simulator();
  const first = await house.worker(simulator.url);
  await eventually(() => first.instance.standing().kind === "well");
  const second = await house.worker(simulator.url.replace("127.0.0.1", "localhost"));
  await eventually(() => second.instance.standing().kind === "unready");
  expect(second.instance.standing()).toMatchObject({ reason: expect.stringContaining(`worker ${first.id}`) });
  const job = await house.submit(sleeper(50, 1));
  const attempts = async () => (await house.producer.attempts("default", job)) ?? [];
  await house.until(job, isEnded);
  expect((await attempts()).map(({ worker }) => worker)).toEqual([first.id]);
  await first.close();
  await eventually(() => second.instance.standing().kind === "well");
});

test("the worker of a ComfyUI that another drives under a different name stays away as long as that one lives", async () => {
  const house = await setup();
  const simulator = await house.simulator();
  const older = await house.worker(simulator.url, { COMFYQ_INSTANCE_ID: "one" });
  await house.submit(sleeper(60_000, 6_000));
  await eventually(async () => (await queueOf(simulator.url)).length === 1);
  const younger = await house.worker(simulator.url, { COMFYQ_INSTANCE_ID: "another" });
  await eventually(() => younger.instance.standing().kind === "unready");
  await eventually(() => JSON.stringify(younger.instance.standing()).includes(older.id));
  expect(older.instance.standing()).toEqual({ kind: "well" });
  await older.close();
  await eventually(() => younger.instance.standing().kind === "well");
});

test("a prompt whose job has ended, and a canary, are stopped before anything is claimed", async () => {
  const house = await setup();
  const simulator = await house.simulator();
  await leavePrompt(simulator.url, sleeper(60_000, 6_000), { job_id: randomUUID(), epoch: 1 });
  await leavePrompt(simulator.url, sleeper(60_000, 6_000), { canary: true });
  const job = await house.submit(sleeper(20, 1));
  const worker = await house.worker(simulator.url);
  expect((await house.until(job, isEnded)).status).toBe("succeeded");
  expect(worker.instance.standing()).toEqual({ kind: "well" });
  expect(await queueOf(simulator.url)).toEqual([]);
  const [left, canary] = simulator.stats().prompts;
  expect([left?.outcome, canary?.started]).toEqual(["interrupted", 0]);
});

test("a foreign prompt is left alone", async () => {
  const house = await setup();
  const simulator = await house.simulator();
  const promptId = await leavePrompt(simulator.url, sleeper(60_000, 6_000), undefined);
  const worker = await house.worker(simulator.url);
  await eventually(() => worker.instance.standing().kind === "well");
  expect(await queueOf(simulator.url)).toEqual([promptId]);
});

test("a prompt that a dead worker left is gone on from when its lock has ended, before anything else is claimed", async () => {
  const house = await setup();
  const simulator = await house.simulator();
  const workflow = sleeper(3_000, 300);
  const job = await house.submit(workflow);
  const dead = await house.claimer(simulator.url);
  const held = await dead.claim();
  const promptId = await leavePrompt(simulator.url, workflow, { job_id: job, epoch: held?.epoch ?? 0 });
  await held?.journal({ prompt_id: promptId, stage: "rendering" });
  await dead.close(); // its lock stays
  const urgent = await house.submit(sleeper(20, 1), { priority: 10 });
  const worker = await house.worker(simulator.url);
  await eventually(() => JSON.stringify(worker.instance.standing()).includes(job));
  expect(await house.until(job, isEnded)).toMatchObject({ status: "succeeded", attempts: 2 });
  await house.until(urgent, isEnded);
  const { prompts } = simulator.stats();
  expect(prompts.map((prompt) => prompt.submitted)).toEqual([1, 1]);
  expect(prompts[0]).toMatchObject({ promptId, outcome: "success" });
});

test("an instance that fails again and again is quarantined, its jobs keep their attempts, and a canary brings it back", async () => {
  const house = await setup();
  const simulator = await house.simulator();
  const worker = await house.worker(simulator.url, { COMFYQ_CANARY_S: "5" });
  const broken = {
    "1": { class_type: "SimCudaFault", inputs: {} },
    "2": { class_type: "PreviewAny", inputs: { source: ["1", 0] } },
  };
  const breaker = await house.submit(broken);
  await eventually(() => worker.instance.standing().kind === "quarantined");
  await house.producer.cancel("default", breaker);
  const job = await house.submit(sleeper(20, 1), { max_attempts: 1 });
  const seen = simulator.stats().prompts.length;
  await eventually(() => simulator.stats().prompts.length > seen + 1); // canaries, and they fail
  expect((await house.read(job)).status).toBe("queued");
  await simulator.restart();
  expect(await house.until(job, isEnded)).toMatchObject({ status: "succeeded", attempts: 1 });
});

test("the restart command is run once for a quarantined instance, and it comes back by itself", async () => {
  const house = await setup();
  const simulator = await house.simulator();
  const restart = `${process.execPath} -e 'fetch(process.env.COMFYUI_URL + "/simulator/restart", { method: "POST" })'`;
  const worker = await house.worker(simulator.url, { COMFYQ_CANARY_S: "5", COMFYUI_RESTART_COMMAND: restart });
  await eventually(() => worker.instance.standing().kind === "well");
  const broken = {
    "1": { class_type: "SimCudaFault", inputs: {} },
    "2": { class_type: "PreviewAny", inputs: { source: ["1", 0] } },
  };
  const breaker = await house.submit(broken);
  await eventually(() => worker.instance.standing().kind === "quarantined");
  await house.producer.cancel("default", breaker);
  await eventually(() => worker.instance.standing().kind === "well");
  expect(simulator.stats().requests["POST /simulator/restart"]).toBe(1);
  const job = await house.submit(sleeper(20, 1));
  expect((await house.until(job, isEnded)).status).toBe("succeeded");
});

test("a worker whose ComfyUI is away says so, claims nothing, and looks through it again when it is back", async () => {
  const house = await setup();
  const simulator = await house.simulator();
  const worker = await house.worker(simulator.url);
  await eventually(() => worker.instance.standing().kind === "well");
  const back = simulator.restart(2_000);
  await eventually(() => worker.instance.standing().kind === "unready");
  const job = await house.submit(sleeper(20, 1), { max_attempts: 1 });
  expect(worker.instance.standing()).toMatchObject({ reason: expect.stringContaining("is it running?") });
  await back;
  expect((await house.until(job, isEnded)).status).toBe("succeeded");
  expect(simulator.stats().prompts).toHaveLength(1);
  worker.instance.noteFailure(jobFailure("node_failed", "x"));
  expect(worker.instance.standing()).toEqual({ kind: "well" });
});

test("what a dead worker or a lost lock left in ComfyUI's history is taken out, and only what nobody will go on from", async () => {
  const house = await setup();
  const simulator = await house.simulator();
  const going = await house.submit(sleeper(20, 1), { run_at: new Date(Date.now() + 600_000).toISOString() });
  const kept = await leavePrompt(simulator.url, sleeper(10, 1), { job_id: going, epoch: 1 });
  await leavePrompt(simulator.url, sleeper(10, 1), { job_id: randomUUID(), epoch: 1 });
  await leavePrompt(simulator.url, sleeper(10, 1), { canary: true });
  const foreign = await leavePrompt(simulator.url, sleeper(10, 1), undefined);
  await eventually(async () => (await queueOf(simulator.url)).length === 0);
  await house.worker(simulator.url);
  await eventually(async () => (await historyOf(simulator.url)).length === 2);
  expect(await historyOf(simulator.url)).toEqual([kept, foreign]);
  await house.producer.cancel("default", going);
  await eventually(async () => (await historyOf(simulator.url)).length === 1);
});

test("a model that was put there while a worker runs is known to the fleet without a restart", async () => {
  const house = await setup();
  const modelsDir = join(house.files, "models");
  const simulator = await house.simulator({ modelsDir, models: {} });
  const { instance } = await house.worker(simulator.url);
  await eventually(() => instance.standing().kind === "well");
  const before = instance.facts();
  await mkdir(join(modelsDir, "loras"), { recursive: true });
  await writeFile(join(modelsDir, "loras", "new.safetensors"), "x");
  await eventually(() => instance.facts() !== before);
  const after = instance.facts();
  expect(JSON.parse(after?.modelLists.json ?? "")).toMatchObject({ loras: ["new.safetensors"] });
  expect(after?.objectInfo.json).toContain("new.safetensors");
  expect(after?.fingerprint).toBe(before?.fingerprint); // no other nodes: results of before still count
  const published = await house.producer.prompts.modelLists(after?.modelLists.sha256 ?? "");
  expect(gunzipSync(published ?? "").toString()).toBe(after?.modelLists.json);
  const told = async () => (await house.producer.workers())[0];
  await eventually(async () => (await told())?.model_lists === after?.modelLists.sha256);
  expect((await told())?.object_info).toBe(after?.objectInfo.sha256);
});

test("an instance whose models cannot be listed, by the fault of one folder, is known all the same", async () => {
  const house = await setup();
  const simulator = await house.simulator({ models: { loras: ["a.safetensors"], vae: ["b.safetensors"] } });
  const front = createServer(async (req, res) => {
    if (req.url === "/models/vae") return void res.writeHead(500).end("500 Internal Server Error");
    const answer = await fetch(`${simulator.url}${req.url}`);
    res.writeHead(answer.status, { "content-type": "application/json" }).end(await answer.text());
  });
  front.listen(0, "127.0.0.1");
  await once(front, "listening");
  const comfyui = connectComfyUi({ url: `http://127.0.0.1:${(front.address() as AddressInfo).port}` }); // a TCP server has one
  onTestFinished(async () => {
    await comfyui.close();
    front.close();
  });
  const { modelLists } = await learnInstance(comfyui);
  expect(JSON.parse(modelLists.json)).toMatchObject({ loras: ["a.safetensors"], vae: [] });
});
