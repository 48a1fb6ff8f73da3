import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { SCOPES } from "@comfyq/contract";
import { beat, openClaimer, publishObjectInfo } from "@comfyq/queue";
import { type PrivateRedis, startPrivateRedis } from "@comfyq/queue/testing";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import { type Answer, bearer, GRAPH, setup, type TestApi, workerBeat, writeKeys } from "./setup.ts";

let redis: PrivateRedis;
let dataDir: string;
let api: TestApi;
let [own, foreign, reader]: readonly string[] = [];

beforeAll(async () => {
  redis = await startPrivateRedis();
  dataDir = await mkdtemp(join(tmpdir(), "comfyq-comfyui-"));
  [own, foreign, reader] = await writeKeys(join(dataDir, "keys.json"), [
    { tenant: "own", scopes: SCOPES },
    { tenant: "foreign", scopes: SCOPES },
    { tenant: "own", scopes: ["read"] },
  ]);
  api = await setup({ redis, dataDir, env: { COMFYQ_PREFIX: "comfyui" } });
});
afterAll(async () => {
  await api[Symbol.asyncDispose]();
  await redis.close();
  await rm(dataDir, { recursive: true, force: true });
});

const key = (text: string | undefined) => bearer(text ?? "");
const get = (path: string, who = own): Promise<Answer> => api.call(path, { headers: key(who) });
const post = (path: string, body: unknown, who = own): Promise<Answer> => api.post(path, body, key(who));

async function prompt(more: Record<string, unknown> = {}, who = own): Promise<string> {
  const answer = await post("/prompt", { prompt: GRAPH, ...more }, who);
  expect(answer).toMatchObject({ status: 200 });
  return answer.json.prompt_id;
}

/** Ends the next job as its worker would. */
async function finishNext(): Promise<void> {
  await api.succeed(await api.claim(), { "a.png": "png" });
}

function upload(name: string, content: string, fields: Record<string, string> = {}, who = own): Promise<Answer> {
  const form = new FormData();
  form.set("image", new Blob([content]), name);
  for (const [field, value] of Object.entries(fields)) form.set(field, value);
  return api.call("/upload/image", { method: "POST", body: form, headers: key(who) });
}

/** A websocket that has been greeted, and what it has received since. */
async function listen(clientId: string, headers: Record<string, string>, query = "") {
  const socket = new WebSocket(`${api.url.replace("http", "ws")}/ws?clientId=${clientId}${query}`, { headers });
  const frames: string[] = [];
  socket.on("message", (bytes: Buffer) => void frames.push(bytes.toString()));
  await new Promise((resolve, reject) => {
    socket.once("message", resolve);
    socket.once("error", reject);
  });
  return { socket, frames };
}

test("a prompt is a job whose id is the prompt_id, and whatever door is asked shows the same", async () => {
  const id = "11111111-2222-4333-8444-555555555555";
  const answer = await post("/api/prompt", { prompt: GRAPH, prompt_id: id, client_id: "me", extra_data: { a: 1 } });
  expect(answer.json).toEqual({ prompt_id: id, number: expect.any(Number), node_errors: {} });
  expect((await get(`/v1/jobs/${id}`)).json).toMatchObject({ id, status: "queued" });
  const { queue_pending } = (await get("/queue")).json;
  expect(queue_pending).toMatchObject([[answer.json.number, id, GRAPH, { a: 1, client_id: "me" }, []]]);
  expect((await get("/prompt")).json).toEqual({ exec_info: { queue_remaining: expect.any(Number) } });
  expect((await get(`/history/${id}`)).json).toEqual({});
  await finishNext();
  const entry = (await get(`/history/${id}`)).json[id];
  expect(entry).toMatchObject({ status: { status_str: "success", completed: true } });
  expect(entry.outputs).toEqual({ "9": { images: [{ filename: "a.png", subfolder: id, type: "output" }] } });
  const seen = await get(`/view?filename=a.png&subfolder=${id}&type=output`);
  expect(seen).toMatchObject({ status: 200, text: "png" });
  const ranged = { ...key(own), range: "bytes=1-1" };
  const part = await api.call(`/api/view?filename=a.png&subfolder=${id}`, { headers: ranged });
  expect(part).toMatchObject({ status: 206, text: "n" });
  expect((await get(`/api/jobs/${id}`)).json).toMatchObject({ id, status: "completed", outputs_count: 1 });
  expect((await get("/queue")).json).toEqual({ queue_running: [], queue_pending: [] });
});

test("the same prompt_id and body is the same job; another body under it is refused, as is a malformed id", async () => {
  const id = "aaaaaaaa-2222-4333-8444-666666666666";
  const wish = { prompt: GRAPH, prompt_id: id };
  expect([(await post("/prompt", wish)).status, (await post("/prompt", wish)).status]).toEqual([200, 200]);
  expect((await get("/queue")).json.queue_pending).toHaveLength(1);
  const refused = await post("/prompt", { ...wish, front: true });
  expect(refused).toMatchObject({ status: 400, json: { error: { type: "invalid_prompt_id" }, node_errors: {} } });
  expect((await post("/prompt", wish, foreign)).status).toBe(400);
  expect((await post("/prompt", { ...wish, prompt_id: id.toUpperCase() })).json.error.type).toBe("invalid_prompt_id");
  await finishNext();
});

test("a tenant sees and changes nothing of another's by any route", async () => {
  const id = await prompt({ client_id: "shared" });
  const routes = ["/queue", "/prompt", "/history", "/api/jobs"];
  const seen = await Promise.all(routes.map(async (path) => (await get(path, foreign)).text));
  expect(seen.join()).not.toContain(id);
  expect((await get("/prompt", foreign)).json.exec_info.queue_remaining).toBe(0);
  await post("/queue", { delete: [id] }, foreign);
  await post("/queue", { clear: true }, foreign);
  await post("/interrupt", { prompt_id: id }, foreign);
  await post("/interrupt", "", foreign);
  expect((await post(`/api/jobs/${id}/cancel`, "", foreign)).json).toEqual({ cancelled: false });
  expect((await post("/api/jobs/cancel", { job_ids: [id] }, foreign)).json).toEqual({ cancelled: false });
  expect((await get(`/v1/jobs/${id}`)).json.status).toBe("queued");
  await finishNext();
  expect((await get(`/history/${id}`, foreign)).json).toEqual({});
  expect((await get(`/api/jobs/${id}`, foreign)).status).toBe(404);
  expect((await get(`/view?filename=a.png&subfolder=${id}`, foreign)).status).toBe(404);
  await post("/history", { delete: [id] }, foreign);
  await post("/history", { clear: true }, foreign);
  expect(Object.keys((await get(`/history/${id}`)).json)).toEqual([id]);
  await upload("mine.txt", "mine");
  expect((await get("/view?filename=mine.txt&type=input")).text).toBe("mine");
  expect((await get("/view?filename=mine.txt&type=input", foreign)).status).toBe(404);
  await post("/userdata/a%2Fb.json", { mine: true });
  await post("/settings/colour", '"red"');
  expect((await get("/userdata/a%2Fb.json")).json).toEqual({ mine: true });
  expect((await get("/userdata/a%2Fb.json", foreign)).status).toBe(404);
  expect([(await get("/settings/colour")).json, (await get("/settings/colour", foreign)).json]).toEqual(["red", null]);
});

test("two tenants with one client id hear only of their own prompts", async () => {
  const mine = await listen("same", key(own));
  const theirs = await listen("same", key(foreign));
  const before = theirs.frames.length;
  const id = await prompt({ client_id: "same" });
  await finishNext();
  await vi.waitFor(() => expect(mine.frames.at(-1)).toContain(`{"node":null,"prompt_id":"${id}"}`), 5_000);
  const types = mine.frames.map((frame) => JSON.parse(frame).type);
  // Whoever ended it said nothing by ComfyUI's own words: they are made from the job.
  const made = ["execution_start", "execution_cached", "execution_success"];
  expect(types).toEqual(["status", "status", ...made, "status", "executing"]);
  expect((await get(`/history/${id}`)).json).toHaveProperty(id); // ready when the end marker comes
  const pong = new Promise((resolve) => theirs.socket.once("pong", resolve));
  theirs.socket.ping();
  await pong;
  expect(theirs.frames.length).toBe(before); // not even how many jobs another tenant has
  const other = await prompt({}, foreign);
  await vi.waitFor(() => expect(theirs.frames.length).toBeGreaterThan(before), 5_000);
  expect(theirs.frames.join()).not.toContain(id);
  expect(mine.frames.join()).not.toContain(other);
  await finishNext();
  for (const { socket } of [mine, theirs]) socket.close();
});

test("a key is shown to the websocket in a header or as token; nobody else is let in", async () => {
  const refused = async (path: string, headers: Record<string, string> = {}) =>
    new Promise<number | undefined>((resolve) => {
      const socket = new WebSocket(api.url.replace("http", "ws") + path, { headers });
      socket.on("error", () => {});
      socket.once("unexpected-response", (_req, answer) => {
        resolve(answer.statusCode);
        socket.terminate();
      });
    });
  (await listen("a", {}, `&token=${own}`)).socket.close();
  (await listen("b", key(reader))).socket.close();
  expect(await refused("/ws?clientId=c")).toBe(401);
  expect(await refused("/ws?token=cq_live_wrong")).toBe(401);
  expect(await refused("/v1/jobs", key(own))).toBe(404);
  expect(api.log()).not.toContain(own);
  await using open = await setup({ redis, env: { COMFYQ_PREFIX: "open" } });
  const foreignPage = new WebSocket(`${open.url.replace("http", "ws")}/ws`, { origin: "https://evil.example" });
  foreignPage.on("error", () => {});
  const status = await new Promise((resolve) =>
    foreignPage.once("unexpected-response", (_req, answer) => resolve(answer.statusCode)),
  );
  foreignPage.terminate();
  expect(status).toBe(403);
});

test("deleting from the history hides there, and loses no job", async () => {
  const [first, second] = [await prompt(), await prompt()];
  await finishNext();
  await finishNext();
  const listed = async (query: string) => Object.keys((await get(`/history${query}`)).json);
  expect(await listed("?max_items=2")).toEqual([first, second]);
  expect((await post("/history", { delete: [first, "nonsense"] })).status).toBe(200);
  expect(await listed("?max_items=1")).toEqual([second]);
  expect((await get(`/history/${first}`)).json).toEqual({});
  expect((await get(`/v1/jobs/${first}`)).json).toMatchObject({ id: first, status: "succeeded" });
  await post("/history", { clear: true });
  expect(await listed("")).toEqual([]);
  expect((await get(`/v1/jobs/${second}`)).json.status).toBe("succeeded");
  expect((await get("/history?max_items=x")).status).toBe(422);
});

test("deleting from the queue cancels what waits, and a canceled prompt leaves no trace there", async () => {
  const [first, second] = [await prompt(), await prompt({ front: true })];
  expect((await get("/queue")).json.queue_pending.map((item: unknown[]) => item[1])).toContain(second);
  expect((await api.claim()).id).toBe(second); // it went before the first
  expect((await post("/queue", { delete: [first, second] })).text).toBe("");
  const statuses = await Promise.all([first, second].map(async (id) => (await get(`/v1/jobs/${id}`)).json.status));
  expect(statuses).toEqual(["canceled", "running"]);
  expect((await get(`/history/${first}`)).json).toEqual({});
  await post("/interrupt", "");
  expect((await get(`/v1/jobs/${second}`)).json.status).toBe("canceling");
});

test("uploads get the names that ComfyUI would give, and a graph that names one takes it along", async () => {
  const named = async (...wish: Parameters<typeof upload>) => (await upload(...wish)).json;
  expect(await named("pose.png", "one")).toEqual({ name: "pose.png", subfolder: "", type: "input" });
  expect((await named("pose.png", "one")).name).toBe("pose.png");
  expect((await named("pose.png", "two")).name).toBe("pose (1).png");
  expect((await named("pose.png", "three", { overwrite: "True" })).name).toBe("pose (2).png");
  expect((await named("pose.png", "four", { overwrite: "true" })).name).toBe("pose.png");
  expect((await get("/view?filename=pose.png&type=input")).text).toBe("four");
  expect(await named("pose.png", "five", { subfolder: "a/b" })).toMatchObject({ name: "pose.png", subfolder: "a/b" });
  expect((await upload("x.png", "x", { subfolder: "../x" })).status).toBe(422);
  expect((await upload("x.png", "x", { type: "nonsense" })).status).toBe(422);
  const graph = {
    ...GRAPH,
    "1": { class_type: "LoadImage", inputs: { image: "a/b/pose.png" } },
    "2": { class_type: "LoadImage", inputs: { image: "pose (1).png [input]" } },
    "4": { class_type: "LoadImage", inputs: { image: "nobody's.png" } },
  };
  await post("/queue", { clear: true });
  const id = await prompt({ prompt: graph });
  const held = await api.claim();
  expect(held.id).toBe(id);
  expect(Object.keys(held.request.inputs).sort()).toEqual(["1.inputs.image", "2.inputs.image"]);
  expect(held.request.inputs["1.inputs.image"]).toMatchObject({ url: expect.stringMatching(/^asset:/) });
  expect(held.request.workflow["1"]?.inputs).toEqual({ image: "a/b/pose.png" });
  await api.succeed(held, { "a.png": "png" });
});

test("no path leads out of a folder", async () => {
  const ways = ["../secrets/link-secret", "..%2f..%2fkeys.json", "/etc/passwd", "a%00b", "..\\..\\x"];
  for (const way of ways) {
    expect([404, 422]).toContain((await get(`/view?filename=${way}`)).status);
    expect([404, 422]).toContain((await get(`/view?filename=a.png&subfolder=${way}&type=input`)).status);
    const file = await get(`/userdata/${encodeURIComponent(decodeURIComponent(way))}`);
    expect([403, 404, 422]).toContain(file.status);
  }
  expect((await post("/userdata/..%2Fx", {})).status).toBe(403);
  expect((await get("/userdata?dir=../..")).status).toBe(403);
});

test("secrets of partner nodes are sealed: they stand in no answer and not in Redis", async () => {
  const secret = "comfyui-very-secret-key";
  const extra_data = { api_key_comfy_org: secret, auth_token_comfy_org: `${secret}-token`, other: 1 };
  const id = await prompt({ extra_data });
  const held = await api.claim();
  expect(held.sealedSecrets).toBeDefined();
  expect(JSON.stringify(held.request)).not.toContain(secret);
  expect(JSON.stringify([(await get("/queue")).json, (await get(`/api/jobs/${id}`)).json])).not.toContain(secret);
  await api.succeed(held, { "a.png": "png" });
  const { text } = await get(`/history/${id}`);
  expect(text).toContain('"other":1');
  expect(text).not.toContain(secret);
  expect(api.log()).not.toContain(secret);
  expect((await post("/prompt", { prompt: GRAPH, extra_data: { api_key_comfy_org: { a: 1 } } })).status).toBe(400);
});

test("a client that comes back under its id is told the node at work, hears the rest, and is not silenced when its old socket closes", async () => {
  const first = await listen("again", key(own));
  const id = await prompt({ client_id: "again" });
  const held = await api.claim();
  expect(held.id).toBe(id);
  await held.journal({ prompt_id: id, stage: "rendering" });
  held.report({
    ...{ value: 0.5, nodes_done: 1, nodes_total: 2, message: null, step: null, steps: null },
    ...{ current_node: "9", current_node_class: "SaveImage" },
  });
  held.relay?.frame(JSON.stringify({ type: "execution_start", data: { prompt_id: id, timestamp: 1 } }), "lasting");
  await vi.waitFor(() => expect(first.frames.at(-1)).toContain("execution_start"), 5_000);
  await vi.waitFor(async () => expect((await get(`/v1/jobs/${id}`)).json.progress?.current_node).toBe("9"), 5_000);
  const second = await listen("again", key(own));
  await vi.waitFor(() => expect(second.frames[1]).toBe('{"type":"executing","data":{"node":"9"}}'), 5_000);
  expect(JSON.parse(second.frames[0] ?? "").data).toMatchObject({
    sid: "again",
    status: { exec_info: { queue_remaining: expect.any(Number) } },
  });
  const closed = new Promise((resolve) => first.socket.once("close", resolve));
  first.socket.terminate();
  await closed;
  const heard = second.frames.length;
  held.relay?.frame(JSON.stringify({ type: "executed", data: { node: "9", output: null, prompt_id: id } }), "lasting");
  await api.succeed(held, { "a.png": "png" });
  const types = () => second.frames.slice(heard).map((frame) => JSON.parse(frame).type);
  await vi.waitFor(() => expect(types()).toEqual(["executed", "execution_success", "status", "executing"]), 5_000);
  second.socket.terminate();
});

test("graphs are checked against what all live instances told, together", async () => {
  const claimer = await openClaimer({
    redisUrl: redis.url,
    prefix: "comfyui",
    pool: "default",
    workerId: "w",
    instance: "i",
  });
  const save = {
    name: "SaveImage",
    output_node: true,
    output: [],
    input: { required: { images: ["IMAGE"], filename_prefix: ["STRING", {}] } },
  };
  const loader = (names: readonly string[]) => ({
    name: "Loader",
    output: ["IMAGE"],
    input: { required: { file: [names], strength: ["FLOAT", { min: 0, max: 1 }] } },
  });
  const known = [
    { SaveImage: save, Loader: loader(["a.pt"]) },
    { SaveImage: save, Loader: loader(["b.pt"]), Extra: { name: "Extra" } },
  ];
  for (const [at, info] of known.entries()) {
    const object_info = String(at).repeat(64);
    await publishObjectInfo(claimer.room, object_info, gzipSync(JSON.stringify(info)));
    const facts = { device: "cuda:0 GPU", object_info, models: false };
    await beat(claimer.room, workerBeat({ id: `w${at}`, instance: `http://i${at}`, ...facts }));
  }
  const info = await vi.waitFor(async () => {
    const { json } = await get("/object_info");
    expect(Object.keys(json).sort()).toEqual(["Extra", "Loader", "SaveImage"]);
    return json;
  }, 5_000);
  expect(info.Loader.input.required.file).toEqual([["a.pt", "b.pt"]]);
  expect((await get("/api/object_info/Extra")).json).toEqual({ Extra: { name: "Extra" } });
  expect((await get("/object_info/constructor")).json).toEqual({});
  expect((await get("/system_stats")).json).toMatchObject({
    system: { comfyui_version: "0.33.0" },
    devices: [{ type: "cuda" }, {}],
  });
  const graph = (file: string, strength: unknown = 1) => ({
    "1": { class_type: "Loader", inputs: { file, strength } },
    "9": { class_type: "SaveImage", inputs: { images: ["1", 0], filename_prefix: "x" } },
  });
  const taken = await post("/prompt", { prompt: graph("b.pt", "0.5") });
  expect(taken.status).toBe(200);
  expect((await get("/queue")).json.queue_pending[0]).toMatchObject(
    [0, 0, { "1": { inputs: { strength: 0.5 } } }, {}, ["9"]].map((part, at) => (at < 2 ? expect.anything() : part)),
  );
  const refused = await post("/prompt", { prompt: graph("c.pt", 2) });
  expect(refused).toMatchObject({ status: 400, json: { error: { type: "prompt_outputs_failed_validation" } } });
  expect(refused.json.node_errors["1"].errors.map(({ type }: { type: string }) => type).sort()).toEqual([
    "value_bigger_than_max",
    "value_not_in_list",
  ]);
  const unknown = await post("/prompt", { prompt: { "1": { class_type: "Nobody", inputs: {} } } });
  expect(unknown.json.error).toMatchObject({ type: "missing_node_type", extra_info: { class_type: "Nobody" } });
  await post("/queue", { clear: true });
  await claimer.close();
});

test("no body of any call makes it fail: what cannot be taken is refused", async () => {
  const bodies = [
    "",
    "{",
    "[]",
    "null",
    '"x"',
    "0",
    '{"prompt":null}',
    '{"prompt":[]}',
    '{"prompt":{"1":null}}',
    "\u0000",
  ];
  const odd = fc.anything({ withNullPrototype: false, maxDepth: 4 });
  const bodyOf = (seed: number) =>
    fc.sample(
      fc.record(
        {
          prompt: odd,
          prompt_id: odd,
          client_id: odd,
          number: odd,
          extra_data: odd,
          front: odd,
          clear: fc.boolean(),
          delete: odd,
          job_ids: odd,
        },
        { requiredKeys: [] },
      ),
      { seed, numRuns: 60 },
    );
  const paths = [
    "/prompt",
    "/queue",
    "/history",
    "/interrupt",
    "/api/jobs/cancel",
    "/settings",
    "/settings/x",
    "/userdata/x",
  ];
  for (const path of paths)
    for (const body of [...bodies, ...bodyOf(20_261_127).map((value) => JSON.stringify(value))]) {
      const { status, text } = await post(path, body);
      expect([status < 500, path, body, text]).toEqual([true, path, body, text]);
    }
  await post("/queue", { clear: true });
});

test("the list of jobs shows each as it is by now, however often it was asked for before", async () => {
  await using fresh = await setup({ redis, env: { COMFYQ_PREFIX: "listed" } });
  const statuses = async (query = "") => {
    const { jobs } = (await fresh.call(`/api/jobs${query}`)).json;
    return jobs.map(({ id, status }: { id: string; status: string }) => [id, status]);
  };
  const submitted = await fresh.post("/prompt", { prompt: GRAPH });
  const id = submitted.json.prompt_id;
  expect(await statuses()).toEqual([[id, "pending"]]);
  const held = await fresh.claim();
  expect(await statuses("?status=in_progress")).toEqual([[id, "in_progress"]]);
  await fresh.succeed(held, { "a.png": "png" });
  for (let count = 0; count < 2; count += 1)
    expect(await statuses("?status=completed,failed")).toEqual([[id, "completed"]]);
  expect(await statuses("?status=pending,in_progress")).toEqual([]);
  await fresh.post("/history", { delete: [id] });
  expect(await statuses()).toEqual([]);
});
