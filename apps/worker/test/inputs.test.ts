import { randomUUID } from "node:crypto";
import { mkdtemp, readdir, rm, truncate } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Simulator } from "@comfyq/comfyui-simulator";
import type { Workflow } from "@comfyq/contract";
import { expect, onTestFinished, test, vi } from "vitest";
import { createShelf } from "../src/inputs/shelf.ts";
import { eventually, isEnded, setup } from "./setup.ts";

vi.setConfig({ testTimeout: 60_000 });

const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";
const DATA_URI = `data:image/png;base64,${PIXEL}`;

/** Loads an image and saves it; another prefix each time, so that nothing comes from ComfyUI's cache. */
const copying = (): Workflow => ({
  "1": { class_type: "LoadImage", inputs: { image: "x.png" } },
  "2": { class_type: "SaveImage", inputs: { images: ["1", 0], filename_prefix: randomUUID() } },
});

/** A host that gives the pixel to anybody, and counts who came. */
async function startHost() {
  const seen: string[] = [];
  const server = createServer(({ url = "" }, response) => {
    seen.push(url);
    response.writeHead(200, { "content-type": "image/png" }).end(Buffer.from(PIXEL, "base64"));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo; // listening on TCP, so it is one
  return { url: `http://127.0.0.1:${port}`, seen };
}

/** A house with one worker, and a simulator whose folders are known. */
async function openHouse() {
  const house = await setup();
  const dir = await mkdtemp(join(tmpdir(), "inputs-test-"));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  const simulator = await house.simulator({ dir });
  const worker = await house.worker(simulator.url);
  const staged = () => readdir(join(dir, "input", "comfyq"));
  const run = async (source: string, workflow = copying()) => {
    const id = await house.submit(workflow, { inputs: { "1.inputs.image": source } });
    return house.until(id, isEnded);
  };
  return { house, simulator, worker, run, staged, folder: join(dir, "input", "comfyq") };
}

const uploadsOf = (simulator: Simulator) => simulator.stats().uploads.count;

test("a second job with the same image uploads nothing, whatever its source is called", async () => {
  const { simulator, run } = await openHouse();
  const host = await startHost();
  for (const source of [DATA_URI, DATA_URI, `${host.url}/a.png`, `${host.url}/b.png`])
    expect(await run(source)).toMatchObject({ status: "succeeded", attempts: 1 });
  expect(uploadsOf(simulator)).toBe(1);
  expect(host.seen).toEqual(["/a.png", "/b.png"]);
});

test("a worker that was started anew finds what its predecessor uploaded", async () => {
  const { house, simulator, worker, run } = await openHouse();
  await run(DATA_URI);
  await worker.close();
  await house.worker(simulator.url);
  expect(await run(DATA_URI)).toMatchObject({ status: "succeeded" });
  expect(uploadsOf(simulator)).toBe(1);
});

test("an input that somebody deleted on the instance is brought again, within the same attempt", async () => {
  const { simulator, run, folder } = await openHouse();
  await run(DATA_URI);
  await rm(folder, { recursive: true });
  expect(await run(DATA_URI)).toMatchObject({ status: "succeeded", attempts: 1 });
  expect(uploadsOf(simulator)).toBe(2);
});

test("a deleted input of which only a part of the workflow is made costs no partial success", async () => {
  const { simulator, run, folder } = await openHouse();
  await run(DATA_URI);
  await rm(folder, { recursive: true });
  const both: Workflow = {
    ...copying(),
    "8": { class_type: "EmptyImage", inputs: { width: 16, height: 16, batch_size: 1, color: 7 } },
    "9": { class_type: "SaveImage", inputs: { images: ["8", 0], filename_prefix: "other" } },
  };
  const ended = await run(DATA_URI, both);
  expect(ended).toMatchObject({ status: "succeeded", attempts: 2 });
  expect(ended.outputs).toHaveLength(2);
  expect(uploadsOf(simulator)).toBe(2);
});

test("a ComfyUI that came back with an empty disk is brought its inputs before it has to refuse", async () => {
  const { simulator, worker, run, folder } = await openHouse();
  await run(DATA_URI);
  await simulator.restart(3_000);
  await eventually(() => worker.instance.standing().kind !== "well");
  await rm(folder, { recursive: true });
  await worker.instance.untilWell(AbortSignal.timeout(30_000));
  expect(await run(DATA_URI)).toMatchObject({ status: "succeeded", attempts: 1 });
  expect(simulator.stats().requests["POST /prompt"]).toBe(2);
});

test("a file that was cut off on the instance is not taken for the input", async () => {
  const { house, simulator, worker, run, staged, folder } = await openHouse();
  await run(DATA_URI);
  const [name] = await staged();
  await truncate(join(folder, String(name)), 10);
  await worker.close();
  await house.worker(simulator.url);
  expect(await run(DATA_URI)).toMatchObject({ status: "succeeded" });
  expect(uploadsOf(simulator)).toBe(2);
});

test("those who want the same content at the same time wait for one upload; when it fails, another brings it", async () => {
  const shelf = createShelf({ sizeOf: async () => undefined });
  const content = { name: "abc.png", sha256: "abc", sizeBytes: 3 };
  const { signal } = new AbortController();
  const gate = Promise.withResolvers<string>();
  let uploads = 0;
  const bring = async () => {
    uploads += 1;
    return uploads === 1 ? gate.promise : "comfyq/abc.png";
  };
  const first = shelf.place(content, bring, signal);
  const others = [shelf.place(content, bring, signal), shelf.place(content, bring, signal)];
  await eventually(() => uploads > 0);
  expect(uploads).toBe(1);
  gate.reject(new Error("the first was stopped"));
  await expect(first).rejects.toThrow("the first was stopped");
  expect(await Promise.all(others)).toEqual(["comfyq/abc.png", "comfyq/abc.png"]);
  expect(uploads).toBe(2);
});
