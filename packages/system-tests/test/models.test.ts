import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Workflow } from "@comfyq/contract";
import { afterAll, expect, test, vi } from "vitest";
import { example } from "./graphs.ts";
import { isFinished, setup } from "./setup.ts";

/** A true safetensors file. */
function model(dataBytes: number): Buffer {
  const header = Buffer.from(JSON.stringify({ w: { dtype: "U8", shape: [dataBytes], data_offsets: [0, dataBytes] } }));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, Buffer.alloc(dataBytes, 7)]);
}

const BYTES = model(2_000_000);
let isHeld = true;
let requests = 0;
const source = createServer((_request, response) => {
  requests += 1;
  response.writeHead(200, { "content-length": BYTES.length });
  response.write(BYTES.subarray(0, 1_000_000));
  if (!isHeld) response.end(BYTES.subarray(1_000_000)); // else the rest never comes
});
await new Promise<void>((resolve) => source.listen(0, "127.0.0.1", resolve));
const url = `http://127.0.0.1:${(source.address() as AddressInfo).port}/fox`; // a TCP server, listening

const models = await mkdtemp(join(tmpdir(), "comfyq-models-"));
const system = await setup({
  workers: 2,
  timeScale: 0.2,
  simulatorArgs: ["--models-directory", models],
  env: { COMFYUI_MODELS_DIR: models },
});
afterAll(async () => {
  await system[Symbol.asyncDispose]();
  source.closeAllConnections();
  source.close();
  await rm(models, { recursive: true, force: true });
});

/** text-to-image with a LoRA that no server has. */
function withLora(name: string): Workflow {
  const graph = example("text-to-image");
  const [loader] = Object.entries(graph).find(([, node]) => node.class_type === "CheckpointLoaderSimple") ?? [""];
  for (const node of Object.values(graph))
    for (const [input, value] of Object.entries(node.inputs))
      if (Array.isArray(value) && value[0] === loader && value[1] !== 2) node.inputs[input] = ["lora", value[1]];
  const inputs = { model: [loader, 0], clip: [loader, 1], lora_name: name, strength_model: 1, strength_clip: 1 };
  return { ...graph, lora: { class_type: "LoraLoader", inputs } };
}

test("two workers share a models folder, and the one that downloads is killed: the job ends, with one file and no rest", async () => {
  const body = { workflow: withLora("fox.safetensors"), files: { "/models/loras/fox.safetensors": url } };
  const { id } = await system.submit(body);
  await vi.waitFor(
    async () =>
      expect((await system.read(id)).progress?.message).toMatch(/^downloading models\/loras\/fox.safetensors/),
    { timeout: 30_000, interval: 50 },
  );
  const { instance } = await system.read(id);
  const at = system.instances.indexOf(instance ?? "");
  await system.workers[at]?.stop("SIGKILL");
  expect((await readdir(join(models, ".comfyq"))).filter((name) => name.endsWith(".part"))).toHaveLength(1);
  isHeld = false;
  expect(await system.until(id, isFinished)).toMatchObject({ status: "succeeded", attempts: 2 });
  expect(requests).toBe(2);
  expect(await readdir(join(models, "loras"))).toEqual(["fox.safetensors"]);
  expect((await readFile(join(models, "loras/fox.safetensors"))).equals(BYTES)).toBe(true);
  expect((await readdir(join(models, ".comfyq"))).filter((name) => name.endsWith(".part"))).toEqual([]);
  const again = await system.submit({ ...body, workflow: { ...body.workflow } });
  expect(await system.until(again.id, isFinished)).toMatchObject({ status: "succeeded" });
  expect(requests).toBe(2);
  const page = await (await fetch(new URL("/metrics", String(system.workers[1 - at]?.ready["health"])))).text();
  expect(page).toContain("comfyq_worker_models_installed_total 1");
  expect(page).toContain(`comfyq_worker_models_bytes ${BYTES.length}`);
});
