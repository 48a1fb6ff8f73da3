import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { JobFacts, Workflow } from "@comfyq/contract";
import { describe, expect, onTestFinished, test } from "vitest";
import { safetensors, sha256, startModelSource } from "./modelSource.ts";
import { eventually, isEnded, setup, sleeper } from "./setup.ts";

/** Loads a LoRA by name, and makes a picture. */
function withLora(name: string): Workflow {
  return {
    "1": { class_type: "CheckpointLoaderSimple", inputs: { ckpt_name: "sd_xl_base_1.0.safetensors" } },
    "2": {
      class_type: "LoraLoader",
      inputs: { model: ["1", 0], clip: ["1", 1], lora_name: name, strength_model: 1, strength_clip: 1 },
    },
    "3": { class_type: "CLIPTextEncode", inputs: { clip: ["2", 1], text: "a fox" } },
    "4": { class_type: "EmptyLatentImage", inputs: { width: 64, height: 64, batch_size: 1 } },
    "5": {
      class_type: "KSampler",
      inputs: {
        model: ["2", 0],
        positive: ["3", 0],
        negative: ["3", 0],
        latent_image: ["4", 0],
        seed: Math.floor(Math.random() * 1e9),
        steps: 1,
        cfg: 1,
        sampler_name: "euler",
        scheduler: "normal",
        denoise: 1,
      },
    },
    "6": { class_type: "VAEDecode", inputs: { samples: ["5", 0], vae: ["1", 2] } },
    "7": { class_type: "SaveImage", inputs: { images: ["6", 0], filename_prefix: "fox" } },
  };
}

async function modelsDir(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "models-test-"));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

/** Files below a models folder that are no models: parts, and what the store keeps of itself. */
async function storeFiles(dir: string): Promise<readonly string[]> {
  return (await readdir(join(dir, ".comfyq"))).filter((name) => !name.startsWith("owner."));
}

/** A house with workers that share one models folder, and a source of models. */
async function furnished(settings: Readonly<Record<string, string>> = {}) {
  const dir = await modelsDir(); // first, so that it goes last
  const house = await setup();
  const source = await startModelSource();
  return {
    house,
    until: (id: string, isWanted: (job: JobFacts) => boolean) => house.until(id, isWanted),
    dir,
    source,
    furnish: async (more: Readonly<Record<string, string>> = {}) => {
      const simulator = await house.simulator({ modelsDir: dir });
      const worker = await house.worker(simulator.url, {
        COMFYUI_MODELS_DIR: dir,
        COMFYQ_ALLOW_HOSTS: "127.0.0.1:*",
        ...settings,
        ...more,
      });
      return { simulator, worker };
    },
    submitLora: (name: string, url: string) =>
      house.submit(withLora(name), { files: { [`/models/loras/${name}`]: url } }),
  };
}

describe("a model that a job brings", () => {
  test("is where ComfyUI looks before its prompt is sent, whole and under its own name, and nothing else is left", async () => {
    const { dir, source, furnish, submitLora, until } = await furnished();
    const bytes = safetensors(300_000);
    await furnish();
    const id = await submitLora("style/fox.safetensors", source.serve("/fox", bytes));
    expect((await until(id, isEnded)).status).toBe("succeeded");
    expect((await readFile(join(dir, "loras/style/fox.safetensors"))).equals(bytes)).toBe(true);
    await eventually(async () => JSON.stringify(await storeFiles(dir)) === '["index.json"]');
    const index = JSON.parse(await readFile(join(dir, ".comfyq/index.json"), "utf8"));
    expect(index.models["loras/style/fox.safetensors"]).toMatchObject({
      sha256: sha256(bytes),
      source: `${source.url}/fox`,
      size_bytes: bytes.length,
    });
  });

  test("is not downloaded again by the next job that brings it", async () => {
    const { dir, source, furnish, submitLora, until } = await furnished();
    await furnish();
    const url = source.serve("/fox", safetensors(1_000));
    for (const query of ["?sig=1", "?sig=2"])
      expect((await until(await submitLora("fox.safetensors", url + query), isEnded)).status).toBe("succeeded");
    expect(source.requests).toEqual(["GET /fox"]);
    expect(await readFile(join(dir, ".comfyq/index.json"), "utf8")).not.toContain("sig"); // a signature is a secret
  });

  test("is downloaded once for two workers that share the folder and want it at the same time", async () => {
    const { dir, source, furnish, submitLora, until } = await furnished();
    await furnish();
    await furnish();
    const url = source.serve("/fox", safetensors(500_000), { holdAfterBytes: 1_000 });
    const ids = await Promise.all([submitLora("fox.safetensors", url), submitLora("fox.safetensors", url)]);
    const isDownloading = async (id: string) =>
      (await until(id, () => true)).progress?.message?.startsWith("downloading");
    await eventually(async () => (await Promise.all(ids.map(isDownloading))).every(Boolean));
    source.release();
    for (const id of ids) expect((await until(id, isEnded)).status).toBe("succeeded");
    expect(source.requests).toEqual(["GET /fox"]);
    expect(await readdir(join(dir, "loras"))).toEqual(["fox.safetensors"]);
  });

  test("tells how far it is, and its time is not taken from timeout_s", async () => {
    const { house, source, furnish, until } = await furnished();
    await furnish();
    const bytes = safetensors(100_000);
    const url = source.serve("/fox", bytes, { holdAfterBytes: 43_500 });
    const files = { "/models/loras/fox.safetensors": url };
    const id = await house.submit(withLora("fox.safetensors"), { files, timeout_s: 1 });
    const message = async () => (await until(id, () => true)).progress?.message;
    await eventually(async () => (await message()) === "downloading models/loras/fox.safetensors (43 %)");
    await new Promise((resolve) => setTimeout(resolve, 1_500)); // longer than timeout_s: the fact is that time passes
    source.release();
    expect((await until(id, isEnded)).status).toBe("succeeded");
  });
});

test("a content that is new under a known name is loaded anew: ComfyUI is told to forget what it has by that name", async () => {
  const { house, source, furnish, submitLora, until } = await furnished();
  const { simulator } = await furnish();
  const [old, wanted] = [safetensors(1_000, 1), safetensors(1_000, 2)];
  await until(await submitLora("fox.safetensors", source.serve("/old", old)), isEnded);
  expect(simulator.stats().requests["POST /free"] ?? 0).toBe(0);
  const pinned = { "/models/loras/fox.safetensors": { url: source.serve("/new", wanted), sha256: sha256(wanted) } };
  const id = await house.submit(withLora("fox.safetensors"), { files: pinned });
  expect((await until(id, isEnded)).status).toBe("succeeded");
  expect(simulator.stats().requests["POST /free"]).toBe(1);
});

test("the models of the next job are brought while this one renders", async () => {
  const { house, dir, source, furnish, submitLora, until } = await furnished();
  await furnish({ COMFYQ_STAGE_AHEAD_JOBS: "1" });
  const busy = await house.submit(sleeper(60_000, 1_000));
  await until(busy, ({ stage }) => stage === "rendering");
  const next = await submitLora("fox.safetensors", source.serve("/fox", safetensors(1_000)));
  await eventually(
    async () => (await readdir(dir)).includes("loras") && (await readdir(join(dir, "loras"))).length === 1,
  );
  expect((await until(busy, () => true)).status).toBe("running");
  await house.producer.cancel("default", busy);
  expect((await until(next, isEnded)).status).toBe("succeeded");
  expect(source.requests).toEqual(["GET /fox"]);
});

describe("a worker without a models folder", () => {
  test("leaves a job that brings a model to one that has it", async () => {
    const { house, source, furnish, submitLora, until } = await furnished();
    await house.worker((await house.simulator()).url);
    await furnish();
    const url = source.serve("/fox", safetensors(1_000));
    for (let at = 0; at < 4; at += 1)
      expect((await until(await submitLora("fox.safetensors", url), isEnded)).status).toBe("succeeded");
  });

  test("says so when it is alone", async () => {
    const house = await setup();
    await house.worker((await house.simulator()).url);
    const files = { "/models/loras/fox.safetensors": "https://example.com/fox" };
    const { error } = await house.until(await house.submit(withLora("fox.safetensors"), { files }), isEnded);
    expect(error).toMatchObject({
      code: "models_unavailable",
      blame: "instance",
      message: expect.stringContaining("COMFYUI_MODELS_DIR"),
    });
  });
});

test("a models folder that this ComfyUI does not read is found out, and said", async () => {
  const { house, source, dir, submitLora, until } = await furnished();
  await house.worker((await house.simulator()).url, { COMFYUI_MODELS_DIR: dir, COMFYQ_ALLOW_HOSTS: "127.0.0.1:*" });
  const id = await submitLora("fox.safetensors", source.serve("/fox", safetensors(1_000)));
  expect((await until(id, isEnded)).error).toMatchObject({
    code: "models_unavailable",
    message: expect.stringContaining("is that the folder it reads?"),
  });
});
