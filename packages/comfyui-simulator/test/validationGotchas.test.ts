import { expect, test } from "vitest";
import { finished, picture, post, readJson, start, submit } from "./setup.ts";

const empty = (inputs: Record<string, unknown> = {}): Record<string, unknown> => ({
  class_type: "EmptyImage",
  inputs: { width: 16, height: 16, batch_size: 1, color: 0, ...inputs },
});
const save = (from: unknown, prefix = "x"): Record<string, unknown> => ({
  class_type: "SaveImage",
  inputs: { images: from, filename_prefix: prefix },
});

test("gotcha 26: one valid output is enough for 200; node_errors name the others, which do not run", async () => {
  const simulator = await start();
  const graph = { "1": empty(), "2": save(["1", 0], "good"), "3": empty({ width: 0 }), "4": save(["3", 0], "bad") };
  const { status, prompt_id, node_errors } = await submit(simulator, graph);
  expect(status).toBe(200);
  expect(node_errors).toMatchObject({
    "3": { errors: [{ type: "value_smaller_than_min" }], dependent_outputs: ["4"] },
  });
  const entry = await finished(simulator, prompt_id);
  expect([entry.status.status_str, Object.keys(entry.outputs), entry.prompt[4]]).toEqual(["success", ["2"], ["2"]]);
});

test("gotcha 27: an unknown class anywhere is the only error, node_errors is empty, and the type depends on the version", async () => {
  const graph = { ...picture(), "8": { class_type: "Nope", inputs: {} }, "9": { class_type: "Nada", inputs: {} } };
  const newer = await submit(await start(), graph);
  const older = await submit(await start({ version: "0.3.64" }), graph);
  expect(newer).toMatchObject({
    status: 400,
    error: { type: "missing_node_type", extra_info: { node_id: "8", class_type: "Nope", node_title: "Nope" } },
    node_errors: {},
  });
  expect(older).toMatchObject({ status: 400, error: { type: "invalid_prompt", extra_info: {} }, node_errors: {} });
});

test("gotcha 28: a value that is not in a list of more than 20 has null as input_config and only the length", async () => {
  const simulator = await start();
  const names = (count: number): string[] => Array.from({ length: count }, (_, at) => `m${at}.safetensors`);
  const error = async (count: number): Promise<unknown> => {
    const server = await start({ models: { vae: names(count) } });
    const graph = {
      "1": { class_type: "VAELoader", inputs: { vae_name: "gone.safetensors" } },
      "2": { class_type: "PreviewAny", inputs: { source: ["1", 0] } },
    };
    return (await submit(server, graph)).node_errors["1"]?.errors[0];
  };
  expect(await error(21)).toMatchObject({
    type: "value_not_in_list",
    details: "vae_name: 'gone.safetensors' not in (list of length 21)",
    extra_info: { input_config: null, received_value: "gone.safetensors" },
  });
  expect(await error(2)).toMatchObject({
    details: "vae_name: 'gone.safetensors' not in ['m0.safetensors', 'm1.safetensors']",
    extra_info: { input_config: [names(2), {}] },
  });
  expect((await fetch(`${simulator.url}/object_info/KSampler`)).status).toBe(200);
});

test("gotcha 29: the refusal's own details are filled only when the output node itself is at fault", async () => {
  const simulator = await start();
  const upstream = await submit(simulator, { "1": empty({ width: 0 }), "2": save(["1", 0]) });
  const own = await submit(simulator, { "1": empty(), "2": { class_type: "SaveImage", inputs: { images: ["1", 0] } } });
  expect(upstream.error).toMatchObject({ type: "prompt_outputs_failed_validation", details: "" });
  expect(own.error.details).toBe("Required input is missing: filename_prefix");
});

test("gotcha 30: broken links are exceptions during validation: KeyError and IndexError", async () => {
  const simulator = await start();
  const errors = async (graph: object): Promise<unknown> => (await submit(simulator, graph)).node_errors;
  const own = (type: string, details: string): object => ({
    errors: [{ type: "exception_during_validation", details, extra_info: { exception_type: type } }],
  });
  const inner = (type: string, details: string): object => ({
    errors: [
      { type: "exception_during_inner_validation", details, extra_info: { exception_type: type, input_name: "image" } },
    ],
  });
  expect(await errors({ "2": save(["99", 0]) })).toMatchObject({ "2": own("KeyError", "'99'") });
  expect(await errors({ "1": empty(), "2": save(["1", 5]) })).toMatchObject({
    "2": own("IndexError", "tuple index out of range"),
  });
  expect(await errors({ "1": empty(), "2": save([1, 0]) })).toMatchObject({ "2": own("KeyError", "1") });
  expect(await errors({ "2": { class_type: "SaveImage" } })).toMatchObject({ "2": own("KeyError", "'inputs'") });
  const invert = (from: unknown): object => ({ class_type: "ImageInvert", inputs: { image: from } });
  expect(await errors({ "1": invert(["99", 0]), "2": invert(["1", 0]), "3": save(["2", 0]) })).toMatchObject({
    "1": inner("KeyError", "'99'"),
  });
});

test("gotcha 31: numbers and switches are coerced, and the stored prompt has the coerced values", async () => {
  const simulator = await start();
  const graph = {
    "1": empty({ width: "16", height: 16.7, color: true }),
    "2": { class_type: "SimSleep", inputs: { ms: "0", steps: 1, input: ["1", 0], preview: "false", value: 12 } },
    "3": save(["2", 0]),
  };
  const { prompt_id } = await submit(simulator, graph);
  const { prompt } = await finished(simulator, prompt_id);
  expect(prompt[2]["1"]?.inputs).toEqual({ width: 16, height: 16, batch_size: 1, color: 1 });
  expect(prompt[2]["2"]?.inputs).toMatchObject({ ms: 0, preview: true, value: "12" });
  const refused = await submit(simulator, { "1": empty({ width: "wide" }), "2": save(["1", 0]) });
  expect(refused.node_errors["1"]?.errors[0]).toMatchObject({
    type: "invalid_input_type",
    details: "width, wide, invalid literal for int() with base 10: 'wide'",
  });
});

test("gotcha 32: invalid JSON is a 500 in plain text everywhere but at /interrupt", async () => {
  const simulator = await start();
  for (const path of ["/prompt", "/queue", "/history", "/free"]) {
    const answer = await post(simulator, path, "{not json");
    expect([path, answer.status, answer.headers.get("content-type")]).toEqual([path, 500, "text/plain; charset=utf-8"]);
    expect(await answer.text()).toMatch(/^500 Internal Server Error\n\n/);
  }
  expect((await post(simulator, "/interrupt", "{not json")).status).toBe(200);
  expect((await post(simulator, "/interrupt", "[]")).status).toBe(500);
  for (const body of [
    { prompt: null },
    { prompt: [] },
    { prompt: picture(), number: "x" },
    { prompt: picture(), extra_data: [] },
  ]) {
    expect((await post(simulator, "/prompt", body)).status).toBe(500);
  }
  expect(await readJson(post(simulator, "/prompt", []))).toMatchObject({ error: { type: "no_prompt" } });
});

test("gotcha 33: any body above the limit is a 413 with both sizes, JSON included", async () => {
  const simulator = await start({ maxUploadBytes: 2000 });
  const answer = await post(simulator, "/prompt", { prompt: picture(), note: "x".repeat(3000) });
  expect(answer.status).toBe(413);
  expect(await answer.text()).toMatch(/^Maximum request body size 2000 exceeded, actual body size \d{4,}$/);
  const form = new FormData();
  form.set("image", new Blob([new Uint8Array(4000)]), "large.bin");
  expect((await fetch(`${simulator.url}/upload/image`, { method: "POST", body: form })).status).toBe(413);
  expect(await readJson(fetch(`${simulator.url}/features`))).toMatchObject({ max_upload_size: 2000 });
});
