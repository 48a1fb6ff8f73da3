import { pythonRepr } from "@comfyq/comfyui/wire";
import { expect, test } from "vitest";
import { Heap } from "../src/engine/Heap.ts";
import { toJson } from "../src/server/toJson.ts";
import { eventually, finished, listen, picture, post, readJson, run, start, submit } from "./setup.ts";
import { steppedClock } from "./steppedClock.ts";

const nothing = { class_type: "PrimitiveString", inputs: { value: "x" } };
const show = (from: string): object => ({ class_type: "PreviewAny", inputs: { source: [from, 0] } });
const sleep = (ms: number, input: string, value = ""): object => ({
  class_type: "SimSleep",
  inputs: { ms, steps: 0, input: [input, 0], value },
});

test("a heap has the order of Python's heapq after every push, pop and heapify", () => {
  const heap = new Heap<number>((one, other) => one < other);
  for (const number of [5, 2, 8, 1, 9, 3, 7, 0]) heap.push(number);
  expect(heap.items).toEqual([0, 1, 3, 2, 9, 8, 7, 5]);
  expect(heap.pop()).toBe(0);
  expect(heap.items).toEqual([1, 2, 3, 5, 9, 8, 7]);
  heap.reset([9, 8, 7, 6, 5]);
  expect(heap.items).toEqual([5, 6, 7, 9, 8]);
  expect([1, 2, 3, 4, 5, 6].map(() => heap.pop())).toEqual([5, 6, 7, 8, 9, undefined]);
});

test("JSON with numbers that are none is written as Python writes it", async () => {
  expect(toJson({ a: [Number.NaN, Number.POSITIVE_INFINITY, 1], b: "NaN" })).toBe('{"a":[NaN,Infinity,1],"b":"NaN"}');
  const simulator = await start();
  const { prompt_id } = await submit(simulator, { "1": { class_type: "SimNaN", inputs: {} } });
  const text = await eventually(
    async () => (await fetch(`${simulator.url}/history/${prompt_id}`)).text(),
    (body) => body !== "{}",
  );
  expect(text).toContain('"value":[NaN]');
});

test("values are shown as Python's repr shows them", () => {
  expect(pythonRepr(["a", "it's", "both \"'", 1, 1.5, true, null, { k: [] }])).toBe(
    `['a', "it's", 'both "\\'', 1, 1.5, True, None, {'k': []}]`,
  );
});

test("a lazy input that is not needed does not run, and the node is entered again after the one that is", async () => {
  const simulator = await start();
  const client = await listen(simulator, "me");
  const graph = {
    "1": sleep(0, "9", "a"),
    "2": sleep(0, "9", "b"),
    "9": nothing,
    "3": { class_type: "SimLazy", inputs: { choice: "b", a: ["1", 0], b: ["2", 0] } },
    "4": show("3"),
  };
  const { outputs } = await run(simulator, graph, { client_id: "me" });
  await client.until(({ type, data }) => type === "executing" && data["node"] === null);
  const entered = client.frames.flatMap((frame) =>
    !(frame instanceof Uint8Array) && frame.type === "executing" ? [frame.data["node"]] : [],
  );
  expect(entered).toEqual(["3", "9", "2", "3", "4", null]);
  expect(outputs["4"]).toEqual({ text: ["x"] });
});

test("async nodes of one prompt run at the same time", async () => {
  const clock = steppedClock();
  const simulator = await start({ clock });
  clock.hold();
  const node = { class_type: "SimAsync", inputs: { ms: 100 } };
  const { prompt_id } = await submit(simulator, {
    "1": node,
    "2": { ...node, inputs: { ms: 101 } },
    "3": show("1"),
    "4": show("2"),
  });
  await eventually(clock.sleeping, (count) => count === 2);
  clock.letGo();
  expect((await finished(simulator, prompt_id)).status.status_str).toBe("success");
});

test("an expanding node's children have dotted ids and run in its place", async () => {
  const simulator = await start();
  const client = await listen(simulator, "me");
  const graph = {
    "1": nothing,
    "2": { class_type: "SimExpand", inputs: { ms: 0, count: 2, input: ["1", 0] } },
    "3": show("2"),
  };
  const { outputs, status } = await run(simulator, graph, { client_id: "me" });
  await client.until(({ type, data }) => type === "executing" && data["node"] === null);
  const entered = client.frames.flatMap((frame) =>
    !(frame instanceof Uint8Array) && frame.type === "executing"
      ? [[frame.data["node"], frame.data["display_node"]]]
      : [],
  );
  expect(entered.slice(0, 4)).toEqual([
    ["1", "1"],
    ["2", "2"],
    ["2.0.0.1", "2"],
    ["2.0.0.2", "2"],
  ]);
  expect([status.status_str, outputs["3"]]).toEqual(["success", { text: ["x"] }]);
});

test("newer versions keep the results of earlier prompts, older ones only what the next prompt has too", async () => {
  const cachedThird = async (version: string): Promise<unknown> => {
    const simulator = await start({ version });
    await run(simulator, picture(1));
    await run(simulator, picture(2));
    return (await run(simulator, picture(1))).status.messages[1]?.[1]["nodes"];
  };
  expect(await cachedThird("0.33.0")).toEqual(["1", "2"]);
  expect(await cachedThird("0.3.64")).toEqual([]);
});

test("results are found under other node ids, and an input file that changes is loaded again", async () => {
  const simulator = await start();
  await run(simulator, picture(1));
  const graph = {
    "7": { class_type: "SimPicture", inputs: { height: 64, width: 64, seed: 1, text: "a red fox" } },
    "8": { class_type: "PreviewImage", inputs: { images: ["7", 0] } },
  };
  expect((await run(simulator, graph)).status.messages[1]?.[1]["nodes"]).toEqual(["7"]);
  const load = {
    "1": { class_type: "LoadImage", inputs: { image: "in.png" } },
    "2": { class_type: "PreviewImage", inputs: { images: ["1", 0] } },
  };
  const { writeFileSync, readFileSync } = await import("node:fs");
  const copy = (from: string): void =>
    writeFileSync(`${simulator.dir}/input/in.png`, readFileSync(`${simulator.dir}/output/${from}`));
  await run(simulator, picture(2, "other"));
  copy("ComfyUI_00001_.png");
  const cached = async (): Promise<unknown> => (await run(simulator, load)).status.messages[1]?.[1]["nodes"];
  expect([await cached(), await cached()]).toEqual([[], ["1", "2"]]);
  copy("other_00001_.png");
  expect(await cached()).toEqual([]);
});

test("between 0.3.67 and 0.27.0 a cached prompt without client id loses its outputs", async () => {
  const outputs = async (version: string): Promise<string[]> => {
    const simulator = await start({ version });
    await run(simulator, picture());
    return Object.keys((await run(simulator, picture())).outputs);
  };
  expect([await outputs("0.3.64"), await outputs("0.20.0"), await outputs("0.33.0")]).toEqual([["2"], [], ["2"]]);
});

test("partial_execution_targets runs only the outputs it names", async () => {
  const simulator = await start();
  const graph = { ...picture(), "3": { class_type: "PreviewImage", inputs: { images: ["1", 0] } } };
  const { outputs } = await run(simulator, graph, { partial_execution_targets: ["3"] });
  expect(Object.keys(outputs)).toEqual(["3"]);
  expect((await submit(simulator, graph, { partial_execution_targets: ["1"] })).error.type).toBe("prompt_no_outputs");
});

test("a model is loaded when it is not the one that is loaded, which takes its time and is counted", async () => {
  const clock = steppedClock();
  const simulator = await start({
    clock,
    loadMs: 1000,
    stepMs: 10,
    models: { checkpoints: ["a.safetensors", "b.safetensors"] },
  });
  const graph = (name: string, seed: number): object => ({
    "1": { class_type: "CheckpointLoaderSimple", inputs: { ckpt_name: name } },
    "2": { class_type: "CLIPTextEncode", inputs: { text: "x", clip: ["1", 1] } },
    "3": { class_type: "EmptyLatentImage", inputs: { width: 64, height: 64, batch_size: 1 } },
    "4": {
      class_type: "KSampler",
      inputs: {
        ...{ seed, steps: 2, cfg: 1, sampler_name: "euler", scheduler: "normal", denoise: 1 },
        ...{ model: ["1", 0], positive: ["2", 0], negative: ["2", 0], latent_image: ["3", 0] },
      },
    },
    "5": { class_type: "SaveLatent", inputs: { samples: ["4", 0], filename_prefix: "l" } },
  });
  const busy: (number | undefined)[] = [];
  for (const [name, seed] of [
    ["a", 1],
    ["a", 2],
    ["b", 3],
    ["a", 4],
  ] as const) {
    const { id } = await run(simulator, graph(`${name}.safetensors`, seed));
    busy.push(simulator.stats().prompts.find(({ promptId }) => promptId === id)?.busyMs);
  }
  expect(busy).toEqual([1020, 20, 1020, 1020]);
  expect(simulator.stats().modelLoads).toEqual({ "a.safetensors": 2, "b.safetensors": 1 });
});

test("settings, userdata, logs and the rest that frontends ask for are there", async () => {
  const simulator = await start();
  const get = (path: string): Promise<unknown> => readJson(fetch(simulator.url + path));
  expect(await get("/settings/Comfy.Locale")).toBe(null);
  await post(simulator, "/settings/Comfy.Locale", '"de"');
  expect([await get("/settings/Comfy.Locale"), await get("/settings")]).toEqual(["de", { "Comfy.Locale": "de" }]);
  const file = "/userdata/workflows%2Fa.json";
  expect(await readJson(post(simulator, file, { a: 1 }))).toBe("workflows/a.json");
  expect((await post(simulator, `${file}?overwrite=false`, { a: 2 })).status).toBe(409);
  expect([await get(file), await get("/userdata?dir=workflows")]).toEqual([{ a: 1 }, ["a.json"]]);
  expect((await fetch(simulator.url + file, { method: "DELETE" })).status).toBe(204);
  expect((await fetch(`${simulator.url}/userdata/..%2F..%2F..%2Fx`)).status).toBe(403);
  expect(await get("/internal/logs/raw")).toMatchObject({ entries: [{ m: "ComfyUI version: 0.33.0\n" }] });
  expect(await get("/embeddings")).toEqual(["EasyNegative"]);
  expect([await get("/extensions"), await get("/internal/files/input")]).toEqual([[], []]);
  const info = await readJson<Record<string, { input_order: object; output_node: boolean; python_module: string }>>(
    fetch(`${simulator.url}/object_info`),
  );
  expect(Object.keys(info).length).toBeGreaterThan(70);
  expect(info["SaveVideo"]).toMatchObject({ output_node: true, python_module: "comfy_extras.nodes_video" });
  expect(await get("/object_info/Nope")).toEqual({});
  expect((await fetch(`${simulator.url}/api/assets`)).status).toBe(503);
});

test("a port that is taken is refused by name, and nothing is left behind", async () => {
  const { url } = await start();
  const port = Number(new URL(url).port);
  await expect(start({ port })).rejects.toMatchObject({
    code: "port_taken",
    message: expect.stringContaining(String(port)),
  });
  await expect(start({ version: "1" })).rejects.toMatchObject({ code: "bad_option" });
});
