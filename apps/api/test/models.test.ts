import type { NewJobBody } from "@comfyq/contract";
import { beat, openClaimer } from "@comfyq/queue";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { setup, type TestApi } from "./setup.ts";

/** A graph that names a LoRA, and a job that brings it to a destination. */
function bringing(destination: string, named = destination.replace(/^\/models\/[^/]*\//, "")): Partial<NewJobBody> {
  return {
    workflow: { "1": { class_type: "LoraLoader", inputs: { lora_name: named } } },
    files: { [destination]: "https://example.com/model" },
  };
}

/** Tells the API of a worker, as its heartbeat would. */
async function tellWorker(api: TestApi, prefix: string, facts: { id: string; models?: boolean; pool?: string }) {
  const claimer = await openClaimer({
    redisUrl: api.redis.url,
    prefix,
    pool: "default",
    workerId: facts.id,
    instance: "i",
  });
  await beat(claimer.room, {
    pool: "default",
    instance: "i",
    state: "idle",
    reason: null,
    job_id: null,
    storing: 0,
    comfyui_version: null,
    fingerprint: null,
    device: null,
    started_at: new Date().toISOString(),
    beat_at: new Date().toISOString(),
    ...facts,
  });
  await claimer.close();
}

let api: TestApi;
beforeAll(async () => {
  api = await setup();
});
afterAll(() => api[Symbol.asyncDispose]());

describe("a job that brings a model", () => {
  test("is refused while every worker of its pool has no models folder, and taken once one has", async () => {
    await using api = await setup({ env: { COMFYQ_PREFIX: "models" } });
    const submit = () => api.post("/v1/jobs", bringing("/models/loras/style/fox.safetensors"));
    expect((await submit()).status).toBe(201); // nobody is there who could say
    await tellWorker(api, "models", { id: "old" });
    await tellWorker(api, "models", { id: "other", models: true, pool: "big" });
    const refused = await submit();
    expect(refused.status).toBe(422);
    expect(refused.json.error.message).toContain("set COMFYUI_MODELS_DIR");
    expect(refused.json.error.details).toEqual([
      {
        path: "files./models/loras/style/fox.safetensors",
        message: "No worker of pool default may write into its ComfyUI's models folder",
      },
    ]);
    await tellWorker(api, "models", { id: "new", models: true });
    expect((await submit()).status).toBe(201);
    expect((await api.call("/v1/workers")).json.workers.map(({ models }: { models?: boolean }) => models)).toEqual([
      true,
      undefined,
      true,
    ]);
  });

  test("may go to every folder of models under every name of it, and to those that the operator adds", async () => {
    await using api = await setup({ env: { COMFYQ_MODEL_FOLDERS: "animatediff_models, ipadapter" } });
    for (const folder of ["checkpoints", "loras", "vae", "clip", "unet", "diffusion_models", "ipadapter"])
      await api.submit(bringing(`/models/${folder}/a b/x.SafeTensors`));
    await api.submit(bringing("/models/diffusion_models/x.gguf"));
    await api.submit({ ...bringing("/models/embeddings/fox.safetensors", "a fox, embedding:fox, snow") });
    const nested = { "1": { class_type: "Stack", inputs: { lora_1: { on: true, lora: "fox.sft" } } } };
    await api.submit({ ...bringing("/models/loras/fox.sft"), workflow: nested });
  });

  test.each([
    ["/models/loras/../../etc/x.safetensors", "its name may have letters"],
    ["/models/../x.safetensors", "there is no models folder of that name"],
    ["/models/loras/..\\x.safetensors", "its name may have letters"],
    ["/models/loras/%2e%2e/x.safetensors", "its name may have letters"],
    ["/models/loras//x.safetensors", "its name may have letters"],
    ["/models/loras/.x.safetensors", "its name may have letters"],
    ["/models/loras/x\u0000.safetensors", "its name may have letters"],
    ["/models/loras/CON.safetensors", "its name may have letters"],
    ["/models/loras/ｘ.safetensors", "its name may have letters"],
    ["/models/loras/a/b/c/d/e/f/g/h/i.safetensors", "its name may have letters"],
    ["/models/custom_nodes/x.safetensors", "there is no models folder of that name"],
    ["/models/configs/x.safetensors", "there is no models folder of that name"],
    ["/models/.comfyq/x.safetensors", "there is no models folder of that name"],
    ["/models/constructor/x.safetensors", "there is no models folder of that name"],
    ["/models/x.safetensors", "names no folder"],
    ["/models/loras/x.ckpt", "only .safetensors, .sft, .gguf can be sent"],
    ["/models/loras/x.py", "only .safetensors, .sft, .gguf can be sent"],
    ["/models/loras/x", "only .safetensors, .sft, .gguf can be sent"],
    ["/models/loras/x.safetensors.pt", "only .safetensors, .sft, .gguf can be sent"],
  ])("is refused when it is to go to %s", async (destination, reason) => {
    const { status, json } = await api.post("/v1/jobs", bringing(destination));
    expect(status).toBe(422);
    expect(json.error.details[0].message).toContain(reason);
  });

  test("is refused when nothing in its graph would use it", async () => {
    const { status, json } = await api.post("/v1/jobs", bringing("/models/loras/x.safetensors", "y.safetensors"));
    expect(status).toBe(422);
    expect(json.error.details[0].message).toContain('no input of the workflow says "x.safetensors"');
  });

  test("may be of a format that can run code where the operator allows it", async () => {
    await using own = await setup({ env: { COMFYQ_ALLOW_UNSAFE_MODELS: ".ckpt,.pt" } });
    await own.submit(bringing("/models/checkpoints/x.ckpt"));
    expect((await own.post("/v1/jobs", bringing("/models/checkpoints/x.bin"))).status).toBe(422);
  });
});
