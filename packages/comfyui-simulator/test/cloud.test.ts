import { randomUUID } from "node:crypto";
import { buffer } from "node:stream/consumers";
import { type ComfyUi, connectComfyUi } from "@comfyq/comfyui";
import { expect, onTestFinished, test } from "vitest";
import type { Simulator, SimulatorOptions } from "../src/index.ts";
import { start } from "./setup.ts";

const KEY = "comfyui-simulated-account";
const never = new AbortController().signal;
const graph = {
  "1": { class_type: "SimPicture", inputs: { text: "a fox", seed: 3, width: 32, height: 32 } },
  "2": { class_type: "SaveImage", inputs: { images: ["1", 0], filename_prefix: "comfyq/a/fox" } },
};
const sleeping = {
  "1": { class_type: "SimSleep", inputs: { ms: 60_000, steps: 600, value: "x" } },
  "2": { class_type: "SimOutput", inputs: { input: ["1", 0], bytes: 5_000, seed: 1, filename_prefix: "a" } },
};

interface Stage {
  readonly simulator: Simulator;
  readonly client: ComfyUi;
  readonly ask: (path: string, init?: RequestInit) => Promise<Response>;
}

async function setup(options: SimulatorOptions = {}, sockets = true): Promise<Stage> {
  const simulator = await start({ cloud: { apiKey: KEY, sockets }, ...options });
  const client = connectComfyUi({ url: simulator.url, apiKey: KEY, dialect: "cloud", pollMs: 20 });
  onTestFinished(() => client.close());
  const ask = (path: string, init: RequestInit = {}) =>
    fetch(simulator.url + path, { redirect: "manual", ...init, headers: { "x-api-key": KEY } });
  return { simulator, client, ask };
}

const submit = ({ client }: Stage, workflow: object = graph) =>
  client.submit({ promptId: randomUUID(), workflow: workflow as typeof graph });

test.each([true, false])(
  "a picture is rendered there and fetched by its signed link (with a socket: %s)",
  async (sockets) => {
    const stage = await setup({}, sockets);
    const { promptId } = await submit(stage);
    const { outputs } = await stage.client.watch(promptId, { signal: never, stallMs: 0 });
    const [file] = outputs.files;
    expect(file).toMatchObject({ node_id: "2", filename: expect.stringMatching(/^[0-9a-f]{64}\.png$/) });
    const { body } = await stage.client.view({ filename: file?.filename ?? "" });
    expect((await buffer(body)).subarray(1, 4).toString()).toBe("PNG");
  },
);

test("nobody is served without the key, and nothing but /api is there", async () => {
  const { simulator, ask } = await setup();
  const statuses = async (paths: readonly string[], headers: Record<string, string>) =>
    Promise.all(paths.map(async (path) => (await fetch(simulator.url + path, { headers })).status));
  expect(await statuses(["/api/prompt", "/api/queue", "/api/view?filename=a"], {})).toEqual([401, 401, 401]);
  expect(await statuses(["/api/prompt", "/api/queue"], { "x-api-key": "another" })).toEqual([401, 401]);
  expect(await statuses(["/prompt", "/history", "/free"], { "x-api-key": KEY })).toEqual([404, 404, 404]);
  expect((await ask("/api/history")).status).toBe(405); // POST only
  expect(await (await fetch(`${simulator.url}/api/prompt`)).json()).toMatchObject({ code: "UNAUTHORIZED" });
  expect((await ask("/api/free", { method: "POST", body: "{}" })).status).toBe(404);
});

test("it gives ids of its own, and the store that it redirects to wants no key", async () => {
  const stage = await setup();
  const promptId = randomUUID();
  const submitted = await stage.client.submit({ promptId, workflow: graph });
  expect(submitted.promptId).not.toBe(promptId);
  const { outputs } = await stage.client.watch(submitted.promptId, { signal: never, stallMs: 0 });
  const view = await stage.ask(`/api/view?filename=${outputs.files[0]?.filename}`);
  const location = view.headers.get("location") ?? "";
  expect([view.status, new URL(location).origin === stage.simulator.url]).toEqual([302, false]);
  expect((await fetch(location, { headers: { "x-api-key": KEY } })).status).toBe(400);
  expect((await fetch(location.replace(/.$/, "x"))).status).toBe(403);
  expect((await fetch(location)).status).toBe(200);
});

test("a running and a waiting prompt are canceled by id, and told as canceled", async () => {
  const stage = await setup();
  const [running, waiting] = [await submit(stage, sleeping), await submit(stage, sleeping)];
  await expect.poll(async () => (await stage.client.find(running.promptId)).kind).toBe("running");
  for (const { promptId } of [waiting, running])
    expect(await stage.client.cancel(promptId, { deadlineMs: 5_000 })).toMatchObject({ stopped: true });
  for (const { promptId } of [running, waiting])
    expect(await (await stage.ask(`/api/job/${promptId}/status`)).json()).toMatchObject({ status: "cancelled" });
  expect((await stage.ask(`/api/job/${randomUUID()}/status`)).status).toBe(404);
});

test("a prompt whose id nobody noted is found by what was sent with it, while it runs and when it has ended", async () => {
  const stage = await setup();
  const marked = {
    ...sleeping,
    "2": { ...sleeping["2"], inputs: { ...sleeping["2"].inputs, filename_prefix: "comfyq/j-1/a" } },
  };
  const { promptId } = await submit(stage, marked);
  expect(await stage.client.seek(({ workflow }) => JSON.stringify(workflow).includes("comfyq/j-1/"))).toBe(promptId);
  await stage.client.cancel(promptId, { deadlineMs: 5_000 });
  const mark = { comfyq: { job_id: "j", epoch: 2 } };
  const ended = await stage.client.submit({ promptId: randomUUID(), workflow: graph, extraData: mark });
  await stage.client.watch(ended.promptId, { signal: never, stallMs: 0 });
  expect(await stage.client.seek(({ extraData }) => JSON.stringify(extraData).includes('"epoch":2'))).toBe(
    ended.promptId,
  );
  expect(await stage.client.seek(() => false)).toBeUndefined();
});

test("an upload is named by its content, and a graph loads it by that name", async () => {
  const stage = await setup();
  const { promptId } = await submit(stage);
  const { outputs } = await stage.client.watch(promptId, { signal: never, stallMs: 0 });
  const { body } = await stage.client.view({ filename: outputs.files[0]?.filename ?? "" });
  const pixels = await buffer(body);
  const uploaded = await stage.client.upload({ body: pixels, name: "my.png", subfolder: "comfyq" });
  expect(uploaded).toMatchObject({ name: expect.stringMatching(/^[0-9a-f]{64}\.png$/), subfolder: "" });
  const copy = {
    "1": { class_type: "LoadImage", inputs: { image: uploaded.name } },
    "2": { class_type: "SaveImage", inputs: { images: ["1", 0], filename_prefix: "copy" } },
  };
  const { promptId: copying } = await submit(stage, copy);
  expect((await stage.client.watch(copying, { signal: never, stallMs: 0 })).outputs.files).toHaveLength(1);
});
