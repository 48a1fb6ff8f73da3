import type { Attempt } from "@comfyq/contract";
import { afterAll, expect, test, vi } from "vitest";
import { example, sampling } from "./graphs.ts";
import { isFinished, readJson, type System, setup } from "./setup.ts";

// One system for all that do not need their own; a stop of its worker does not wait for the running job.
const system = await setup({ simulatorArgs: ["--step-ms", "50"], env: { COMFYQ_DRAIN_S: "0" } });
afterAll(() => system[Symbol.asyncDispose]());

/** Prompts that its ComfyUI has seen so far. */
async function promptsSeen({ instances }: System): Promise<number> {
  const stats = await readJson<{ prompts: unknown[] }>(fetch(`${instances[0]}/simulator/stats`));
  return stats.prompts.length;
}

function queueOf({ instances }: System): Promise<{ queue_running: unknown[]; queue_pending: unknown[] }> {
  return readJson(fetch(`${instances[0]}/queue`));
}

test("a running job is canceled: its prompt is gone from ComfyUI, its webhook says so, and the next job runs", async () => {
  const { id } = await system.submit({ workflow: sampling(400), webhook: { url: system.sink.url } });
  await system.until(id, ({ stage }) => stage === "rendering");
  const answer = await system.post(`/v1/jobs/${id}/cancel`);
  expect(await answer.json()).toMatchObject({ id, status: "canceling" });
  expect(await system.until(id, isFinished)).toMatchObject({ status: "canceled", error: null });
  expect(await queueOf(system)).toEqual({ queue_running: [], queue_pending: [] });
  const next = await system.submit({ workflow: sampling(1) });
  expect((await system.until(next.id, isFinished)).status).toBe("succeeded");
  await vi.waitFor(() => expect(system.sink.received(id).map(({ event }) => event.type)).toEqual(["job.canceled"]));
});

test("a job that runs longer than timeout_s fails as timeout, and its prompt is stopped", async () => {
  const { id } = await system.submit({ workflow: sampling(400), timeout_s: 1 });
  expect(await system.until(id, isFinished)).toMatchObject({
    status: "failed",
    error: { code: "timeout", blame: "workflow" },
  });
  expect(await queueOf(system)).toEqual({ queue_running: [], queue_pending: [] });
});

test("a worker killed while its prompt renders comes back and goes on from it: ComfyUI sees one prompt", async () => {
  const seenBefore = await promptsSeen(system);
  const { id } = await system.submit({ workflow: sampling(100), webhook: { url: system.sink.url } });
  await system.until(id, ({ stage }) => stage === "rendering");
  await system.workers[0]?.stop("SIGKILL");
  await system.restartWorker(0);
  expect(await system.until(id, isFinished)).toMatchObject({ status: "succeeded", attempts: 2 });
  expect(await promptsSeen(system)).toBe(seenBefore + 1);
  await vi.waitFor(() => expect(system.sink.received(id).map(({ event }) => event.type)).toEqual(["job.succeeded"]));
}, 60_000);

test("a ComfyUI that restarts in the middle loses the prompt, not the job, and not one of its attempts", async () => {
  const { id } = await system.submit({ workflow: sampling(40), max_attempts: 1 });
  await system.until(id, ({ stage }) => stage === "rendering");
  await fetch(`${system.instances[0]}/simulator/restart`, { method: "POST" });
  expect(await system.until(id, isFinished)).toMatchObject({ status: "succeeded" });
  const { attempts } = await readJson<{ attempts: Attempt[] }>(system.get(`/v1/jobs/${id}/attempts`));
  expect(attempts[0]).toMatchObject({ end: expect.stringMatching(/failed|given_back/), counted: false });
}, 60_000);

test("a workflow that ComfyUI refuses fails once, names the node, and is not tried again", async () => {
  const workflow = example("text-to-image");
  const [id = ""] = Object.entries(workflow).find(([, node]) => node.class_type === "KSampler") ?? [];
  const job = await system.submit({
    workflow,
    params: { [`${id}.inputs.sampler_name`]: "nonsense" },
    webhook: { url: system.sink.url },
  });
  const failed = await system.until(job.id, isFinished);
  expect(failed).toMatchObject({ status: "failed", attempts: 1, error: { code: "workflow_rejected", node_id: id } });
  await vi.waitFor(() => expect(system.sink.received(job.id).map(({ event }) => event.type)).toEqual(["job.failed"]));
});

test("a model that this ComfyUI lacks is the instance's fault, and says which file", async () => {
  const workflow = example("text-to-image");
  const [id = ""] = Object.entries(workflow).find(([, node]) => node.class_type === "CheckpointLoaderSimple") ?? [];
  const job = await system.submit({
    workflow,
    params: { [`${id}.inputs.ckpt_name`]: "absent.safetensors" },
    max_attempts: 1,
  });
  const failed = await system.until(job.id, isFinished);
  expect(failed).toMatchObject({ status: "failed", error: { code: "model_missing", blame: "instance" } });
  expect(failed.error?.message).toContain("absent.safetensors");
});
