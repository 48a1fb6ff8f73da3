import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { jobFailure, SCOPES } from "@comfyq/contract";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import { type Answer, GRAPH, setup, type TestApi, writeKeys } from "./setup.ts";

let dataDir: string;
let api: TestApi;
let [own, foreign]: readonly string[] = [];

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "comfyq-cloud-"));
  [own, foreign] = await writeKeys(join(dataDir, "keys.json"), [
    { tenant: "own", scopes: SCOPES },
    { tenant: "foreign", scopes: SCOPES },
  ]);
  api = await setup({ dataDir });
});
afterAll(async () => {
  await api[Symbol.asyncDispose]();
  await rm(dataDir, { recursive: true, force: true });
});

const key = (text: string | undefined) => ({ "x-api-key": text ?? "" });
const get = (path: string, who = own): Promise<Answer> => api.call(path, { headers: key(who) });
const post = (path: string, body: unknown, who = own): Promise<Answer> => api.post(path, body, key(who));
const status = async (id: string) => (await get(`/api/job/${id}/status`)).json;

async function prompt(more: Record<string, unknown> = {}): Promise<string> {
  return (await post("/api/prompt", { prompt: GRAPH, ...more })).json.prompt_id;
}

/** The path of a file as a client makes it that knows nothing but what the documents say. */
function view({ filename, type = "output" }: { readonly filename: string; readonly type?: string }): string {
  return `/api/view?${new URLSearchParams({ filename, type }).toString()}`;
}

test("a job goes through the statuses of Comfy Cloud, and its history is empty until it has ended", async () => {
  const id = await prompt();
  const times = { created_at: expect.any(String), updated_at: expect.any(String) };
  expect(await status(id)).toMatchObject({ id, status: "pending", ...times, error_message: null });
  expect(await get(`/api/history_v2/${id}`)).toMatchObject({ status: 200, json: {} });
  const held = await api.claim();
  expect(await status(id)).toMatchObject({ status: "in_progress" });
  await api.succeed(held, { "a.png": "png" });
  expect(await status(id)).toMatchObject({ status: "completed", error_message: null });
  const { json } = await get(`/api/history_v2/${id}`);
  expect(Object.keys(json)).toEqual([id]);
  expect(json[id]).toMatchObject({
    prompt: { prompt_id: id, prompt: GRAPH, extra_data: { create_time: expect.any(Number) } },
    status: { status_str: "success", completed: true },
    outputs: { "9": { images: [{ filename: expect.stringMatching(/\.png$/), subfolder: "", type: "output" }] } },
  });
});

test("a failed job says why, and a canceled one is cancelled", async () => {
  const failed = await prompt();
  await (await api.claim()).end({ kind: "failed", error: jobFailure("node_failed", "it broke") });
  expect(await status(failed)).toMatchObject({ status: "failed", error_message: expect.stringContaining("it broke") });
  const { json } = await get(`/api/history_v2/${failed}`);
  expect(json[failed].status).toMatchObject({ status_str: "error", completed: false });
  const canceled = await prompt();
  await post(`/api/jobs/${canceled}/cancel`, "");
  expect(await status(canceled)).toMatchObject({ status: "cancelled" });
});

test("a file's name alone leads its owner to a signed link to its bytes, and nobody else", async () => {
  const id = await prompt();
  await api.succeed(await api.claim(), { "a b.png": "first", "ümläut.png": "second" });
  const { images } = (await get(`/api/history_v2/${id}`)).json[id].outputs["9"];
  const names = images.map(({ filename }: { filename: string }) => filename);
  expect(new Set(names).size).toBe(2);
  for (const name of names) expect(name).toMatch(/^[^/\\]+\.png$/);
  for (const [at, bytes] of ["first", "second"].entries()) {
    const answer = await get(view(images[at]));
    expect(answer.status).toBe(302);
    const link = answer.headers.get("location") ?? "";
    expect(link).toMatch(/^http:/); // some clients resolve no relative address
    expect(await api.call(link)).toMatchObject({ status: 200, text: bytes });
    expect((await get(view(images[at]), foreign)).status).toBe(404);
  }
  expect((await get(view({ filename: names[0].replace("a_b", "a_c") }))).status).toBe(404);
  expect((await get(view({ filename: `${id}_x.png` }))).status).toBe(404);
});

test("a client of a local ComfyUI is sent the bytes themselves, and by such a name, too", async () => {
  const id = await prompt();
  await api.succeed(await api.claim(), { "a.png": "png" });
  const [{ filename }] = (await get(`/api/history_v2/${id}`)).json[id].outputs["9"].images;
  const bearer = { headers: { authorization: `Bearer ${own}` } };
  for (const path of [`/view?filename=a.png&subfolder=${id}`, `/api/view?filename=${filename}&subfolder=any`])
    expect(await api.call(path, bearer)).toMatchObject({ status: 200, text: "png" });
  expect(await get(`/view?filename=a.png&subfolder=${id}`)).toMatchObject({ status: 200, text: "png" });
});

test("the list is newest first and by pages, without graphs, and without what was taken out of it", async () => {
  await post("/api/history", { clear: true });
  const extra_data = { a: 1, extra_pnginfo: { workflow: { id: "wf", nodes: [] }, b: 2 } };
  const ids = [await prompt({ extra_data }), await prompt(), await prompt()];
  for (const _ of ids) await api.succeed(await api.claim(), { "a.png": "png" });
  const listed = async (query = "") => (await get(`/api/history_v2${query}`)).json.history;
  const idsOf = (entries: { prompt_id: string }[]) => entries.map(({ prompt_id }) => prompt_id);
  expect(idsOf(await listed())).toEqual(ids.toReversed());
  expect(idsOf(await listed("?max_items=1&offset=1"))).toEqual([ids[1]]);
  const oldest = (await listed()).at(-1);
  expect(oldest).toMatchObject({ workflow_id: "wf", create_time: expect.any(Number), status: { completed: true } });
  expect(oldest.prompt).toEqual({
    priority: expect.any(Number),
    prompt_id: ids[0],
    extra_data: { a: 1, create_time: oldest.create_time, extra_pnginfo: { b: 2 } },
  });
  await post("/api/history", { delete: [ids[0]] });
  expect(idsOf(await listed())).toEqual([ids[2], ids[1]]);
  expect((await get(`/api/history_v2/${ids[0]}`)).status).toBe(404);
  const refused = await get("/api/history_v2?max_items=x");
  expect(refused).toMatchObject({ status: 422, json: { code: "invalid_request", message: expect.any(String) } });
});

test("what there is not is refused in its words, and a key is asked for", async () => {
  const nobody = "01a2015c-011f-7a09-a25c-000000000000";
  for (const path of [`/api/job/${nobody}/status`, `/api/history_v2/${nobody}`, "/api/job/x/status", "/api/job"])
    expect(await get(path)).toMatchObject({ status: 404, json: { code: "not_found", message: expect.any(String) } });
  expect((await get("/api/user")).json).toEqual({ status: "active" });
  expect(await get("/api/user", "wrong")).toMatchObject({ status: 401, json: { code: "unauthorized" } });
});

test("a job's result is the input of the next by its name, of the same tenant only", async () => {
  const id = await prompt();
  await api.succeed(await api.claim(), { "a.png": "png" });
  const [{ filename }] = (await get(`/api/history_v2/${id}`)).json[id].outputs["9"].images;
  const graph = { ...GRAPH, "1": { class_type: "LoadImage", inputs: { image: filename } } };
  await prompt({ prompt: graph });
  const held = await api.claim();
  const { url = "" } = held.request.inputs["1.inputs.image"] ?? {};
  const read = await get(`/v1/assets/${url.replace("asset:", "")}/content`);
  expect(read).toMatchObject({ status: 200, text: "png" });
  await api.succeed(held, { "a.png": "png" });
  await post("/api/prompt", { prompt: graph }, foreign);
  const theirs = await api.claim();
  expect(theirs.request.inputs).toEqual({});
  await api.succeed(theirs, { "a.png": "png" });
});

test("no query and no body makes a call fail", async () => {
  const id = await prompt();
  await api.succeed(await api.claim(), { "a.png": "png" });
  const odd = fc.oneof(
    fc.string({ unit: "grapheme", maxLength: 40 }),
    fc.string({ maxLength: 40 }).map((rest) => `${id}_${rest}`),
    fc.constantFrom("__proto__", "..", "1e9", "-1", "\u0000", "x".repeat(3_000), `${"0".repeat(64)}.png`),
  );
  const address = fc.oneof(
    fc.tuple(odd, odd, odd).map(([filename, subfolder, type]) => ["/api/view", { filename, subfolder, type }] as const),
    fc.tuple(odd, odd).map(([max_items, offset]) => ["/api/history_v2", { max_items, offset }] as const),
    fc.tuple(odd, odd).map(([sort_by, output_type]) => ["/api/jobs", { sort_by, output_type }] as const),
    odd.map((name) => [`/api/history_v2/${encodeURIComponent(name)}`, {}] as const),
    odd.map((name) => [`/api/job/${encodeURIComponent(name)}/status`, {}] as const),
  );
  await fc.assert(
    fc.asyncProperty(address, async ([path, query]) => {
      const answer = await get(`${path}?${new URLSearchParams(query).toString()}`);
      expect([answer.status < 500, answer.text]).toEqual([true, answer.text]);
    }),
    { numRuns: 200 },
  );
  const bodies = fc.oneof(
    fc.json(),
    fc.record({ delete: fc.jsonValue(), clear: fc.jsonValue() }).map((body) => JSON.stringify(body)),
  );
  await fc.assert(
    fc.asyncProperty(bodies, async (body) => {
      for (const path of ["/api/queue", "/api/history", "/api/interrupt", "/api/prompt"])
        expect((await post(path, body)).status).toBeLessThan(500);
    }),
    { numRuns: 40 },
  );
});

test("the queue is told in its tuples, and what is deleted from it in its answer; what runs is left alone", async () => {
  const [running, waiting, other] = [await prompt(), await prompt({ extra_data: { create_time: 5 } }), await prompt()];
  const held = await api.claim();
  const { queue_running, queue_pending } = (await get("/api/queue")).json;
  const item = (at: number, id?: string) => [at, id, GRAPH, [], { create_time: expect.any(Number) }];
  expect(queue_running).toEqual([item(1, running)]);
  expect(queue_pending).toEqual([item(1, waiting), item(2, other)]);
  const deleted = await post("/api/queue", { delete: [running, waiting, "nobody"] });
  expect(deleted.json).toEqual({ deleted: [waiting], cleared: false });
  expect((await post("/api/queue", { clear: true })).json).toEqual({ deleted: [], cleared: true });
  expect([(await status(other)).status, (await status(running ?? "")).status]).toEqual(["cancelled", "in_progress"]);
  expect((await post("/api/interrupt", "")).text).toBe("");
  await held.end({ kind: "failed", error: jobFailure("canceled", "it was stopped") });
  expect((await status(running ?? "")).status).toBe("cancelled");
});

test("the jobs API names files as the history does, and is sorted and filtered in its words", async () => {
  await post("/api/history", { clear: true });
  const [picture, film] = [await prompt(), await prompt()];
  await api.succeed(await api.claim(), { "a.png": "png" });
  await api.succeed(await api.claim(), { "a.mp4": "mp4" });
  const one = (await get(`/api/jobs/${picture}`)).json;
  const entry = (await get(`/api/history_v2/${picture}`)).json[picture];
  expect(one).toMatchObject({ status: "completed", outputs: entry.outputs, update_time: expect.any(Number) });
  expect(one.preview_output.filename).toBe(entry.outputs["9"].images[0].filename);
  const listed = async (query: string) =>
    (await get(`/api/jobs?${query}`)).json.jobs.map(({ id }: { id: string }) => id);
  expect(await listed("status=completed&sort_by=create_time&sort_order=asc")).toEqual([picture, film]);
  expect(await listed("sort_by=execution_time&output_type=video")).toEqual([film]);
  expect((await get("/api/jobs?sort_by=nothing")).status).toBe(400);
});

test("an upload is named by its bytes, in whatever folder, and by that name it is in every graph", async () => {
  const upload = async (content: string, fields: Record<string, string> = {}) => {
    const form = new FormData();
    form.set("image", new Blob([content]), "pose.png");
    for (const [field, value] of Object.entries(fields)) form.set(field, value);
    return (await api.call("/api/upload/image", { method: "POST", body: form, headers: key(own) })).json;
  };
  const [first, second] = [await upload("one", { overwrite: "true" }), await upload("two", { overwrite: "true" })];
  expect(first).toEqual({ name: expect.stringMatching(/^[0-9a-f]{64}\.png$/), subfolder: "", type: "input" });
  expect(await upload("one", { subfolder: "a" })).toEqual({ ...first, subfolder: "a" });
  expect(second.name).not.toBe(first.name);
  const read = await get(view({ filename: first.name, type: "input" }));
  expect((await api.call(read.headers.get("location") ?? "")).text).toBe("one");
  expect((await get(view({ filename: first.name, type: "input" }), foreign)).status).toBe(404);
  const load = (image: string) => ({ class_type: "LoadImage", inputs: { image } });
  const graph = { ...GRAPH, "1": load(first.name), "2": load(`a/${second.name}`), "4": load("f".repeat(64)) };
  await prompt({ prompt: graph });
  const held = await api.claim();
  expect(Object.keys(held.request.inputs).sort()).toEqual(["1.inputs.image", "2.inputs.image"]);
  await api.succeed(held, { "a.png": "png" });
});

test("a socket with a token hears the prompts that name no client, as on Comfy Cloud, and others do not", async () => {
  const listen = async (query: string, headers: Record<string, string> = {}) => {
    const socket = new WebSocket(`${api.url.replace("http", "ws")}/ws?clientId=any${query}`, { headers });
    const frames: { type: string; data: { prompt_id?: string } }[] = [];
    socket.on("message", (bytes: Buffer) => void frames.push(JSON.parse(bytes.toString())));
    await new Promise((resolve) => socket.once("message", resolve));
    return { socket, frames };
  };
  const id = await prompt(); // before anybody listens
  const cloud = await listen(`&token=${own}`);
  const editor = await listen(`&token=${own}`);
  editor.socket.send(JSON.stringify({ type: "feature_flags", data: {} }));
  const local = await listen("", { authorization: `Bearer ${own}` });
  await vi.waitFor(() => expect(editor.frames.map(({ type }) => type)).toContain("feature_flags"), 5_000);
  await api.succeed(await api.claim(), { "a.png": "png" });
  const heard = ({ frames }: typeof cloud) => frames.flatMap(({ type, data }) => (data.prompt_id === id ? [type] : []));
  const all = ["execution_start", "execution_cached", "execution_success", "executing"];
  await vi.waitFor(() => expect(heard(cloud)).toEqual(all), 5_000);
  await Promise.all(
    [editor, local].map(async ({ socket }) => {
      socket.ping();
      await new Promise((resolve) => socket.once("pong", resolve));
    }),
  );
  expect([heard(editor), heard(local)]).toEqual([[], []]);
  const late = await listen(`&token=${own}`); // its client was slower than its job
  await vi.waitFor(() => expect(heard(late)).toEqual(["executed", "execution_success", "executing"]), 5_000);
  const { outputs } = (await get(`/api/history_v2/${id}`)).json[id];
  expect(late.frames.find(({ type, data }) => type === "executed" && data.prompt_id === id)?.data).toMatchObject({
    node: "9",
    output: outputs["9"],
  });
  for (const { socket } of [cloud, editor, local, late]) socket.close();
});
