import { randomUUID } from "node:crypto";
import { gzipSync } from "node:zlib";
import { jobFailure } from "@comfyq/contract";
import { beat, type Claimer, openClaimer, publishModelLists, publishObjectInfo } from "@comfyq/queue";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { GRAPH, setup, type TestApi, workerBeat } from "./setup.ts";

// What live instances told, of one pool or another, and what is left to tell when they did not.
let api: TestApi;
let teller: Claimer;
beforeAll(async () => {
  const prefix = `fleet${randomUUID().slice(0, 8)}`;
  api = await setup({ env: { COMFYQ_PREFIX: prefix } });
  teller = await openClaimer({ redisUrl: api.redis.url, prefix, pool: "teller", workerId: "teller", instance: "i" });
});
afterAll(async () => {
  await teller.close();
  await api[Symbol.asyncDispose]();
});

interface Telling {
  readonly id: string;
  readonly pool: string;
  readonly models: Readonly<Record<string, readonly string[]>>;
  /** The choices of its loader. */
  readonly files: readonly string[];
}

/** A worker tells what its ComfyUI has, as the real one does. */
async function tell({ id, pool, models, files }: Telling): Promise<void> {
  const info = {
    Loader: { name: "Loader", output: ["IMAGE"], input: { required: { file: [files] } } },
    SaveImage: { name: "SaveImage", output_node: true, output: [], input: { required: { images: ["IMAGE"] } } },
  };
  const [object_info, model_lists] = [info, models].map((told) => Buffer.from(JSON.stringify(told)).toString("hex"));
  await publishObjectInfo(teller.room, String(object_info), gzipSync(JSON.stringify(info)));
  await publishModelLists(teller.room, String(model_lists), gzipSync(JSON.stringify(models)));
  const facts = { object_info, model_lists, models: false };
  await beat(teller.room, workerBeat({ id, pool, instance: `http://${id}`, ...facts }));
}

const get = async (path: string, pool?: string) =>
  api.call(path, { headers: pool === undefined ? {} : { "comfyq-pool": pool } });
const graph = (file: string) => ({
  "1": { class_type: "Loader", inputs: { file } },
  "9": { class_type: "SaveImage", inputs: { images: ["1", 0] } },
});

describe("a pool's models and nodes", () => {
  beforeAll(async () => {
    await tell({
      id: "a",
      pool: "default",
      files: ["a.pt"],
      models: { loras: ["x/a.safetensors"], embeddings: ["EasyNegative.pt", "v1.5/deep.safetensors"] },
    });
    await tell({ id: "b", pool: "default", files: ["b.pt"], models: { loras: ["b.safetensors"], vae: [] } });
    await tell({ id: "c", pool: "fast", files: ["c.pt"], models: { checkpoints: ["c.safetensors"] } });
    await vi.waitFor(async () => expect((await get("/models")).json).toHaveLength(3), 5_000);
  });

  test("models and embeddings are those of all its live instances together", async () => {
    expect((await get("/models")).json.toSorted()).toEqual(["embeddings", "loras", "vae"]);
    expect((await get("/api/models/loras")).json).toEqual(["b.safetensors", "x/a.safetensors"]);
    expect((await get("/models/vae")).json).toEqual([]);
    expect((await get("/models/constructor")).status).toBe(404);
    expect((await get("/embeddings")).json).toEqual(["EasyNegative", "v1.5/deep"]);
    expect((await get("/experiment/models")).json).toContainEqual({ name: "loras", folders: [] });
    expect((await get("/api/experiment/models/loras")).json).toContainEqual({ name: "b.safetensors", pathIndex: 0 });
    expect((await get("/experiment/models/preview/loras/0/x/a.safetensors")).status).toBe(404);
    expect((await get("/view_metadata/loras?filename=b.safetensors")).status).toBe(404);
  });

  test("Comfyq-Pool asks for another pool, a prompt is checked against that one, and runs there", async () => {
    expect((await get("/object_info", "fast")).json.Loader.input.required.file).toEqual([["c.pt"]]);
    expect((await get("/models", "fast")).json).toEqual(["checkpoints"]);
    expect((await get("/models", "no such pool!")).status).toBe(422);
    const refused = await api.post("/prompt", { prompt: graph("a.pt") }, { "comfyq-pool": "fast" });
    expect(refused.json.node_errors["1"].errors[0].type).toBe("value_not_in_list");
    const taken = await api.post("/prompt", { prompt: graph("c.pt") }, { "comfyq-pool": "fast", "comfyq-tags": "a" });
    expect((await api.read(taken.json.prompt_id)).tags).toEqual(["a"]);
    expect((await api.claim("fast")).id).toBe(taken.json.prompt_id);
    const unknown = await api.post("/prompt", { prompt: graph("a.pt") }, { "comfyq-pol": "fast" });
    expect(unknown).toMatchObject({
      status: 422,
      json: { error: { message: expect.stringContaining("Comfyq-Pool") } },
    });
  });

  test("a model that an instance gained is a choice without any restart", async () => {
    await tell({ id: "a", pool: "default", files: ["a.pt", "new.pt"], models: { loras: ["new.safetensors"] } });
    await vi.waitFor(async () => expect((await get("/models/loras")).json).toContain("new.safetensors"), 5_000);
    await vi.waitFor(
      async () => expect((await api.post("/prompt", { prompt: graph("new.pt") })).status).toBe(200),
      5_000,
    );
  });
});

test("what an editor asks of every ComfyUI is answered, and tells nothing of the instances", async () => {
  await api.post("/userdata/workflows%2Fa.json", { a: 1 });
  await api.post("/userdata/top.json", {});
  const answers: Record<string, unknown> = {
    "/workflow_templates": {},
    "/api/global_subgraphs": {},
    "/node_replacements": {},
    "/i18n": {},
    "/extensions": [],
    "/internal/logs": "",
    "/internal/logs/raw": { entries: [], size: { cols: 80, rows: 24 } },
    "/internal/folder_paths": {},
    "/internal/files/output": [],
    "/v2/userdata": [
      { name: "workflows", path: "workflows", type: "directory" },
      { name: "a.json", path: "workflows/a.json", type: "file", size: 7, modified: expect.any(Number) },
      { name: "top.json", path: "top.json", type: "file", size: 2, modified: expect.any(Number) },
    ],
    "/api/v2/userdata?path=workflows": [
      { name: "a.json", path: "workflows/a.json", type: "file", size: 7, modified: expect.any(Number) },
    ],
  };
  for (const [path, answer] of Object.entries(answers)) expect([path, (await get(path)).json]).toEqual([path, answer]);
  expect((await get("/v2/userdata?path=../..")).status).toBe(403);
  expect((await get("/v2/userdata?path=nowhere")).status).toBe(404);
  expect((await get("/api/v2/userdata?path=nowhere")).json.error.type).toBe("not_found"); // not in Comfy API v2's words
  expect((await api.post("/free", { unload_models: true, free_memory: true })).status).toBe(200);
  expect((await get("/global_subgraphs/x")).status).toBe(404);
});

test("a retry of a prompt keeps its extra_data, its outputs and who hears of it", async () => {
  await using own = await setup({ redis: api.redis, env: { COMFYQ_PREFIX: "retry" } });
  const extra_data = { extra_pnginfo: { workflow: { id: "w" } } };
  const wish = { prompt: GRAPH, client_id: "me", extra_data, partial_execution_targets: ["9"] };
  const { prompt_id } = (await own.post("/prompt", wish)).json;
  const first = await claimOf(own, prompt_id);
  await first.end({ kind: "failed", error: jobFailure("node_failed", "x") });
  const { id } = (await own.post(`/v1/jobs/${prompt_id}/retry`, {})).json;
  const second = await claimOf(own, id);
  expect(second.request.extra_data).toEqual(first.request.extra_data);
  expect(second.request.extra_data).toMatchObject(extra_data);
  expect(second.head.prompt).toEqual(first.head.prompt);
  await second.end({ kind: "failed", error: jobFailure("node_failed", "x") });
  const many = (await own.post("/v1/jobs/retry", {})).json;
  const third = many.retried.find(({ from }: { from: string }) => from === id);
  expect((await claimOf(own, third.to)).head.prompt).toEqual(first.head.prompt);
});

async function claimOf(own: TestApi, id: string) {
  for (;;) {
    const held = await own.claim();
    if (held.id === id) return held;
  }
}
