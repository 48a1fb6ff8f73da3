import { createHash } from "node:crypto";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { Asset } from "@comfyq/contract";
import { afterAll, expect, onTestFinished, test, vi } from "vitest";
import { copyImage, example, PIXEL, sampling, valuesOnly } from "./graphs.ts";
import { isFinished, readJson, setup } from "./setup.ts";

// One system for all of these: they do not disturb each other, and starting five processes each time takes seconds.
const system = await setup({ workers: 2, simulatorArgs: ["--step-ms", "40"] });
afterAll(() => system[Symbol.asyncDispose]());

const sha256 = (bytes: Uint8Array) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

test("a text-to-image job succeeds, its link gives the bytes the manifest names, and one genuine webhook tells", async () => {
  const submitted = await system.submit({
    workflow: example("text-to-image"),
    params: { "6.inputs.text": "a fox in snow", "3.inputs.seed": "random", "3.inputs.steps": 2 },
    metadata: { order: "42" },
    webhook: { url: system.sink.url, events: ["job.started", "job.succeeded", "job.failed"] },
  });
  const job = await system.until(submitted.id, isFinished);
  expect(job).toMatchObject({ status: "succeeded", error: null, attempts: 1, progress: { value: 1 } });
  const [output] = job.outputs;
  expect(output).toMatchObject({ node_id: "9", type: "image", content_type: "image/png" });
  const answer = await fetch(String(output?.url));
  const bytes = new Uint8Array(await answer.arrayBuffer());
  expect([...bytes.subarray(1, 4)]).toEqual([...Buffer.from("PNG")]);
  expect(bytes.length).toBe(output?.size_bytes);
  expect(sha256(bytes)).toBe(output?.hash);
  await vi.waitFor(() => expect(system.sink.received(job.id)).toHaveLength(2), { timeout: 10_000 });
  const received = system.sink.received(job.id);
  expect(new Set(received.map(({ event }) => event.type))).toEqual(new Set(["job.started", "job.succeeded"]));
  expect(received.every(({ isGenuine, id, event }) => isGenuine && id === event.id)).toBe(true);
  const told = received.flatMap(({ event }) => (event.type === "job.succeeded" ? event.data.job : []))[0];
  expect(told).toMatchObject({ id: job.id, status: "succeeded", metadata: { order: "42" } });
  const viaWebhook = await fetch(String(told?.outputs[0]?.url));
  expect(sha256(new Uint8Array(await viaWebhook.arrayBuffer()))).toBe(output?.hash);
});

test("a job gets webp pictures, thumbnails and inline bytes when it asks for them, under a prefix of its own", async () => {
  const output = {
    prefix: "shop/pictures",
    convert: { format: "webp" as const },
    thumbnail: { max_px: 32 },
    inline: true,
    strip_metadata: true,
  };
  const { id } = await system.submit({ workflow: example("model-free"), output });
  const job = await system.until(id, isFinished);
  expect(job).toMatchObject({ status: "succeeded", error: null });
  const [picture] = job.outputs;
  expect(picture).toMatchObject({ content_type: "image/webp", name: expect.stringMatching(/\.webp$/) });
  const bytes = new Uint8Array(await (await fetch(String(picture?.url))).arrayBuffer());
  expect([Buffer.from(bytes).toString("latin1", 8, 12), sha256(bytes)]).toEqual(["WEBP", picture?.hash]);
  expect(Buffer.from(picture?.data_base64 ?? "", "base64").equals(Buffer.from(bytes))).toBe(true);
  expect(Math.max(picture?.thumbnail?.width ?? 0, picture?.thumbnail?.height ?? 0)).toBe(32);
  const small = await fetch(String(picture?.thumbnail?.url));
  expect([small.status, small.headers.get("content-type")]).toEqual([200, "image/webp"]);
  expect((await readdir(join(system.dataDir, "files", output.prefix, id, "1"))).length).toBe(2 * job.outputs.length);
});

test("every kind of example runs: image to image with an uploaded asset, video, model-free, values only", async () => {
  const form = new FormData();
  form.set("file", new Blob([Buffer.from(PIXEL, "base64")], { type: "image/png" }), "pose.png");
  const asset = await readJson<Asset>(fetch(`${system.url}/v1/assets`, { method: "POST", body: form }));
  const [node] =
    Object.entries(example("image-to-image")).find(([, { class_type }]) => class_type === "LoadImage") ?? [];
  const jobs = await Promise.all([
    system.submit({ workflow: example("image-to-image"), inputs: { [`${node}.inputs.image`]: `asset:${asset.id}` } }),
    system.submit({ workflow: example("video") }),
    system.submit({ workflow: example("model-free") }),
    system.submit({ workflow: valuesOnly }),
  ]);
  const ended = await Promise.all(jobs.map(({ id }) => system.until(id, isFinished)));
  expect(ended.map(({ status, error }) => [status, error])).toEqual(ended.map(() => ["succeeded", null]));
  expect(ended.map(({ outputs }) => outputs.map(({ type }) => type))).toEqual([
    ["image"],
    ["video"],
    ["image"],
    ["value"],
  ]);
  expect(ended[3]?.outputs[0]?.value).toBe("a fox in snow");
}, 60_000);

test("inputs by URL, by data URI and by destination are placed, and a missing one is blamed on the customer", async () => {
  const source = createServer((request, response) =>
    request.url === "/pose.png" ? response.end(Buffer.from(PIXEL, "base64")) : response.writeHead(404).end(),
  ).listen(0, "127.0.0.1");
  onTestFinished(() => void source.close());
  await once(source, "listening");
  const base = `http://127.0.0.1:${(source.address() as AddressInfo).port}`; // a TCP server's address is never a string
  const workflow = copyImage("pose.png");
  const [byUrl, byData, byName, missing] = await Promise.all([
    system.submit({ workflow, inputs: { "10.inputs.image": `${base}/pose.png` } }),
    system.submit({ workflow, inputs: { "10.inputs.image": `data:image/png;base64,${PIXEL}` } }),
    system.submit({ workflow, files: { "/input/pose.png": `${base}/pose.png` } }),
    system.submit({ workflow, inputs: { "10.inputs.image": `${base}/nowhere.png` } }),
  ]);
  for (const { id } of [byUrl, byData, byName])
    expect(await system.until(id, isFinished)).toMatchObject({
      status: "succeeded",
      outputs: [{ name: "copy_00001_.png" }],
    });
  const failed = await system.until(missing.id, isFinished);
  expect(failed).toMatchObject({
    status: "failed",
    attempts: 1,
    error: { code: "input_unavailable", blame: "customer" },
  });
  expect(failed.error?.message).toContain("404");
});

test("progress shows in the job and in its event stream, never goes back, and the stream ends with the job", async () => {
  const { id } = await system.submit({ workflow: sampling(20) });
  const stream = await (await system.get(`/v1/jobs/${id}/events`)).text(); // ends by itself after the terminal event
  const events = [...stream.matchAll(/^event: (\w+)\n(?:id: .*\n)?data: (.*)$/gm)].map(([, event, data]) => ({
    event,
    data: JSON.parse(data ?? "{}"),
  }));
  const values = events.filter(({ event }) => event === "progress").map(({ data }) => data.value);
  expect(values.length).toBeGreaterThan(2);
  expect(values).toEqual(values.toSorted((a, b) => a - b));
  expect(events.at(-1)).toMatchObject({ event: "status", data: { status: "succeeded" } });
  expect(await system.read(id)).toMatchObject({ status: "succeeded", progress: { value: 1 } });
});

test("two workers: while one renders a long job, the idle one takes every next one", async () => {
  const long = await system.submit({ workflow: sampling(200) });
  const busy = await system.until(long.id, ({ stage }) => stage === "rendering");
  for (let n = 0; n < 3; n += 1) {
    const short = await system.submit({ workflow: sampling(1) });
    const done = await system.until(short.id, isFinished);
    expect(done.status).toBe("succeeded");
    expect(done.instance).not.toBe(busy.instance);
  }
  await system.post(`/v1/jobs/${long.id}/cancel`);
  expect((await system.until(long.id, isFinished)).status).toBe("canceled");
}, 60_000);

test("ten jobs in a row have one output each, all different, though their graphs are the same", async () => {
  const jobs = await Promise.all(Array.from({ length: 10 }, () => system.submit({ workflow: example("model-free") })));
  const ended = await Promise.all(jobs.map(({ id }) => system.until(id, isFinished)));
  expect(ended.map(({ status }) => status)).toEqual(ended.map(() => "succeeded"));
  expect(new Set(ended.map(({ outputs }) => outputs[0]?.url)).size).toBe(10);
}, 60_000);
