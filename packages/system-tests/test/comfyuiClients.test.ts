import { randomUUID } from "node:crypto";
import { CallWrapper, ComfyApi, PromptBuilder } from "@saintno/comfyui-sdk";
import { Client } from "@stable-canvas/comfyui-client";
import { ComfyUIClient } from "comfy-ui-client";
import { afterAll, describe, expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import { copyImage, freshPixel, sampling } from "./graphs.ts";
import { setup } from "./setup.ts";

vi.setConfig({ testTimeout: 60_000 });

// Client libraries of ComfyUI, as they are on npm: only the address is another one. Two instances look like one to them.
const system = await setup({ workers: 2, simulatorArgs: ["--step-ms", "40"] });
afterAll(() => system[Symbol.asyncDispose]());
const host = new URL(system.url).host;

/** An independent look by our own API. */
async function statusOf(id: string): Promise<string> {
  return (await system.read(id)).status;
}

/** The node that saves, and the node that samples, of `sampling`. */
const graph = (steps = 4) => {
  const nodes = sampling(steps);
  const nodeOf = (type: string) => Object.entries(nodes).find(([, { class_type }]) => class_type === type)?.[0] ?? "";
  return { nodes, save: nodeOf("SaveImage"), sampler: nodeOf("KSampler") };
};

async function isPng(file: Blob | ArrayBuffer): Promise<boolean> {
  const bytes = Buffer.from(file instanceof Blob ? await file.arrayBuffer() : file);
  return bytes.length > 100 && bytes.toString("latin1", 1, 4) === "PNG";
}

describe("@saintno/comfyui-sdk", () => {
  const open = async () => {
    const api = new ComfyApi(system.url, randomUUID());
    await api.init().waitForReady();
    return api;
  };

  test("submits, hears steps and previews, and has the picture as soon as its node is done", async () => {
    const api = await open();
    const { nodes, save } = graph();
    const builder = new PromptBuilder(nodes as never, [], ["pictures"]).setOutputNode(
      "pictures" as never,
      save as never,
    );
    const heard = {
      pending: "",
      steps: [] as unknown[],
      previews: [] as Blob[],
      finished: [] as unknown[],
      failed: [] as unknown[],
    };
    const result = await new CallWrapper(api, builder as never)
      .onPending((id) => {
        heard.pending = id ?? "";
      })
      .onProgress((step) => void heard.steps.push(step))
      .onPreview((picture) => void heard.previews.push(picture))
      .onFinished((output) => void heard.finished.push(output))
      .onFailed((error) => void heard.failed.push(error))
      .run();
    expect([heard.finished.length, heard.failed]).toEqual([1, []]);
    expect(heard.steps.length).toBeGreaterThan(0);
    const [picture] = (result as { pictures: { images: { filename: string }[] } }).pictures.images;
    expect(await isPng(await api.getImage(picture as never))).toBe(true); // before the job itself has ended, perhaps
    expect(await statusOf(heard.pending)).toBe("succeeded");
    const entry = await api.getHistory(heard.pending);
    expect(entry?.status.completed).toBe(true);
    expect(Object.keys(await api.getHistories(5))).toContain(heard.pending);
    api.destroy();
  });

  test("uploads a picture and a mask on it, and renders with them", async () => {
    const api = await open();
    const original = await api.uploadImage(freshPixel(), "base.png", { override: true });
    expect(original).toMatchObject({ info: { filename: "base.png", type: "input" } });
    if (!original) throw new Error("it was uploaded");
    const mask = await api.uploadMask(freshPixel(), original.info);
    if (!mask) throw new Error("the mask was not taken");
    const { prompt_id } = await api.appendPrompt(copyImage(mask.info.filename));
    await vi.waitFor(async () => expect((await api.getHistory(prompt_id))?.status.completed).toBe(true), 20_000);
    expect(await statusOf(prompt_id)).toBe("succeeded");
    api.destroy();
  });

  test("sees the queue, deletes what waits, interrupts what runs", async () => {
    const api = await open();
    const running = await Promise.all([1, 2].map(() => api.appendPrompt(graph(1_000).nodes)));
    const waiting = await api.appendPrompt(graph(1_000).nodes);
    await vi.waitFor(async () => expect((await api.getQueue()).queue_running).toHaveLength(2), 20_000);
    expect((await api.pollStatus()).exec_info.queue_remaining).toBe(3);
    await api.manageQueue({ delete: [waiting.prompt_id] } as never);
    expect((await api.getQueue()).queue_pending).toEqual([]);
    await api.interrupt();
    await vi.waitFor(async () => expect((await api.getQueue()).queue_running).toEqual([]), 20_000);
    for (const { prompt_id } of [...running, waiting]) expect(await statusOf(prompt_id)).toBe("canceled");
    api.destroy();
  });

  test("reads what the fleet has, and keeps its settings and files", async () => {
    const api = await open();
    expect(await api.getCheckpoints()).toContain("v1-5-pruned-emaonly-fp16.safetensors");
    expect(await api.getLoras()).toContain("style/watercolor.safetensors");
    expect(await api.getEmbeddings()).toEqual(["EasyNegative"]);
    expect(await api.getModelTypes()).toContain("loras");
    expect(await api.getModels("loras")).toContain("style/watercolor.safetensors");
    expect(await api.getNodeDefs("KSampler")).toHaveProperty("KSampler.input.required.seed");
    expect((await api.getSamplerInfo()).sampler).toBeDefined();
    expect((await api.getSystemStats()).devices).toHaveLength(2);
    expect(await api.getExtensions()).toEqual([]);
    expect(await api.getTerminalLogs()).toMatchObject({ entries: [] });
    expect(await api.freeMemory(true, true)).toBe(true);
    await api.storeSetting("Comfy.Locale", "de");
    expect(await api.getSetting("Comfy.Locale")).toBe("de");
    await api.storeUserData("workflows/a.json", { a: 1 });
    expect(await (await api.getUserData("workflows/a.json")).json()).toEqual({ a: 1 });
    expect(await api.listUserData("workflows")).toEqual(["a.json"]);
    const listed = await api.listUserDataV2("workflows");
    expect(listed).toContainEqual(expect.objectContaining({ path: "workflows/a.json", type: "file" }));
    await api.moveUserData("workflows/a.json", "workflows/b.json");
    await api.deleteUserData("workflows/b.json");
    api.destroy();
  });

  test("is told of a graph that cannot run in ComfyUI's own words", async () => {
    const api = await open();
    const refusal = await api
      .appendPrompt({ "1": { class_type: "Nobody", inputs: {} } })
      .catch((error: unknown) => error);
    if (!(refusal instanceof Response)) throw new Error("it throws the answer");
    expect([refusal.status, await refusal.json()]).toMatchObject([
      400,
      { error: { type: "missing_node_type" }, node_errors: {} },
    ]);
    api.destroy();
  });
});

describe("@stable-canvas/comfyui-client", () => {
  const open = () => new Client({ api_host: host, clientId: randomUUID(), WebSocket, fetch });

  test("runs a graph by its websocket: steps, and the picture's address", async () => {
    const client = open();
    await client.connect();
    const steps: unknown[] = [];
    const result = await client.enqueue(graph().nodes, { progress: (step) => void steps.push(step) });
    expect(steps.length).toBeGreaterThan(0);
    const image = result.images.find(({ type }) => type === "url"); // it counts previews among the pictures
    expect(image?.type === "url" && (await isPng(await (await fetch(image.data)).blob()))).toBe(true);
    expect(await statusOf(result.prompt_id)).toBe("succeeded");
    client.close();
  });

  test("runs a graph by polling, and sees queue and history", async () => {
    const client = open();
    const result = await client.enqueue_polling(graph().nodes, { polling_ms: 100 });
    expect(result.images).toHaveLength(1);
    const { History } = await client.getHistory(10);
    expect(History.map(({ prompt }) => prompt[1])).toContain(result.prompt_id);
    expect(await client.getPromptStatus(result.prompt_id)).toMatchObject({
      running: false,
      pending: false,
      done: true,
    });
    const { prompt_id } = await client._enqueue_prompt(graph(1_000).nodes);
    await vi.waitFor(async () => expect((await client.getQueue()).Running).toHaveLength(1), 20_000);
    await client.interrupt(prompt_id);
    await vi.waitFor(async () => expect(await statusOf(prompt_id)).toBe("canceled"), 20_000);
    await client.deleteItem("history", result.prompt_id);
    expect((await client.getHistory(10)).History.map(({ prompt }) => prompt[1])).not.toContain(result.prompt_id);
  });

  test("reads models, embeddings and samplers", async () => {
    const client = open();
    expect(await client.getSDModels()).toContain("v1-5-pruned-emaonly-fp16.safetensors");
    expect(await client.getEmbeddings()).toEqual(["EasyNegative"]);
    expect(await client.getModelFolders()).toContainEqual({ name: "loras", folders: [] });
    expect(await client.getModels("loras")).toContainEqual({ name: "style/watercolor.safetensors", pathIndex: 0 });
    expect((await client.getSamplers()).length).toBeGreaterThan(0);
    await client.free({ unload_models: true });
  });
});

describe("comfy-ui-client", () => {
  test("connects, renders, and has the bytes of every picture", async () => {
    const client = new ComfyUIClient(host, randomUUID());
    await client.connect();
    const { nodes, save } = graph();
    const images = await client.getImages(nodes as never);
    expect(Object.keys(images)).toEqual([save]);
    const [picture] = images[save] ?? [];
    expect(picture && (await isPng(picture.blob))).toBe(true);
    await client.disconnect();
  });

  test("uploads, and reads queue, history, embeddings and nodes", async () => {
    const client = new ComfyUIClient(host, randomUUID());
    const uploaded = await client.uploadImage(freshPixel(), "fresh.png", true);
    expect(uploaded).toEqual({ name: "fresh.png", subfolder: "", type: "input" });
    const { prompt_id } = await client.queuePrompt(copyImage("fresh.png") as never);
    await vi.waitFor(async () => expect(await client.getHistory(prompt_id)).toHaveProperty(prompt_id), 20_000);
    expect(await client.getQueue()).toEqual({ queue_running: [], queue_pending: [] });
    expect(await client.getPrompt()).toEqual({ exec_info: { queue_remaining: 0 } });
    expect(await client.getEmbeddings()).toEqual(["EasyNegative"]);
    expect(await client.getObjectInfo("SaveImage")).toHaveProperty("SaveImage");
    expect((await client.getSystemStats()).devices).toHaveLength(2);
    const lost = await client.uploadMask(freshPixel(), "mask.png", { filename: "fresh.png" }).catch(String);
    expect(lost).toContain("original_ref"); // it sends the field under another name, which no ComfyUI reads
  });
});
