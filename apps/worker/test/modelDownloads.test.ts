import { mkdir, mkdtemp, readdir, readFile, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "@comfyq/runtime";
import { openStorage } from "@comfyq/storage";
import { describe, expect, onTestFinished, test } from "vitest";
import { readConfig } from "../src/config.ts";
import { createCredentials } from "../src/inputs/credentials.ts";
import { type ModelStore, openModelStore } from "../src/models/modelStore.ts";
import { modelWishesOf } from "../src/models/modelWish.ts";
import { placeModel } from "../src/models/placeModel.ts";
import type { Tools } from "../src/tools.ts";
import { safetensors, sha256, startModelSource } from "./modelSource.ts";
import { eventually } from "./setup.ts";

async function setup() {
  const dir = await realpath(await mkdtemp(join(tmpdir(), "models-test-")));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  const source = await startModelSource();
  return { dir, source, open: (settings?: Readonly<Record<string, string>>) => openWorker(dir, settings) };
}

/** The part of a worker that places models, as one process of several that share the folder. */
async function openWorker(dir: string, settings: Readonly<Record<string, string>> = {}) {
  const all = { COMFYUI_MODELS_DIR: dir, COMFYQ_ALLOW_HOSTS: "127.0.0.1:*", ...settings };
  const flags = Object.entries(all).map(([name, value]) => `--${name.toLowerCase().replaceAll("_", "-")}=${value}`);
  const config = { ...readConfig(flags), timeScale: 0.1 };
  const models = (await openModelStore(config)) as ModelStore; // a folder was given
  const store = openStorage(join(dir, "..", "no-such-store"));
  onTestFinished(() => models.close());
  // placeModel uses no other tools.
  const tools = {
    config,
    models,
    store,
    credentials: createCredentials({ named: {}, allowHosts: [], openBuckets: [] }),
    fetchInput: models.fetch,
    log: createLogger({ name: "x", level: "fatal" }),
  } as Partial<Tools> as Tools;
  return {
    models,
    place: (name: string, url: string, sha256?: string, signal = new AbortController().signal) => {
      const [wish] = modelWishesOf({ [`/models/${name}`]: { url, sha256 } }, config);
      if (!wish) throw new Error("that is no model");
      return placeModel(wish, { tenant: "default", secrets: () => ({}), signal, onProgress: () => {} }, tools);
    },
  };
}

const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => "placed",
    (error: { failure?: { code: string }; message: string }) => error.failure?.code ?? error.message,
  );

/** Everything below a folder but what the stores keep of themselves. */
async function modelsIn(dir: string): Promise<readonly string[]> {
  const names = await readdir(dir, { recursive: true, withFileTypes: true });
  return names
    .filter((entry) => entry.isFile() && !/^(index\.json|owner\..*|lock\..*)$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name).slice(dir.length + 1))
    .sort();
}

describe("a download", () => {
  test("goes on where its connection broke, and is whole", async () => {
    const { dir, source, open } = await setup();
    const { place, models } = await open();
    const bytes = safetensors(250_000);
    const placing = place("loras/a.safetensors", source.serve("/a", bytes, { holdAfterBytes: 100_000, breaks: true }));
    await eventually(() => models.counts.downloadedBytes === 100_000);
    source.serve("/a", bytes);
    source.release();
    const model = await placing;
    expect((await readFile(join(dir, "loras/a.safetensors"))).equals(bytes)).toBe(true);
    expect(model.content).toBe(sha256(bytes));
    expect(source.requests).toEqual(["GET /a", "GET /a bytes=100000-"]);
    expect(models.counts.downloadedBytes).toBe(bytes.length);
  });

  test("begins again where the source knows no ranges, and gives up when that leads nowhere", async () => {
    const { dir, source, open } = await setup();
    const { place } = await open();
    const url = source.serve("/a", safetensors(250_000), { breaks: true, ranges: "none" });
    expect(await codeOf(place("loras/a.safetensors", url))).toBe("input_unreachable");
    expect(source.requests.length).toBeGreaterThan(1);
    expect(source.requests.length).toBeLessThan(10);
    expect(await modelsIn(dir)).toEqual([]);
  });

  test("of unknown length is taken as well", async () => {
    const { dir, source, open } = await setup();
    const { place } = await open();
    await place("loras/a.safetensors", source.serve("/a", safetensors(250_000), { chunked: true }));
    expect(await modelsIn(dir)).toEqual(["loras/a.safetensors"]);
  });

  test.each([
    ["too large, as declared", {}, { COMFYQ_MAX_MODEL_BYTES: "1000" }, "input_too_large"],
    ["too large, undeclared", { chunked: true }, { COMFYQ_MAX_MODEL_BYTES: "1000" }, "input_too_large"],
    ["gone", { status: 404 }, {}, "input_unavailable"],
    ["failing", { status: 503 }, {}, "input_unreachable"],
    ["larger than the whole budget", {}, { COMFYQ_MODELS_BUDGET_BYTES: "1000" }, "models_full"],
    ["too slow", { holdAfterBytes: 10 }, { COMFYQ_MODEL_TIMEOUT_S: "0.2" }, "input_unreachable"],
  ] as const)("of a file that is %s leaves nothing behind", async (_name, serving, settings, code) => {
    const { dir, source, open } = await setup();
    const { place } = await open(settings);
    expect(await codeOf(place("loras/a.safetensors", source.serve("/a", safetensors(5_000), serving)))).toBe(code);
    expect(await modelsIn(dir)).toEqual([]);
  });

  test("that is canceled leaves nothing behind, and another one who waits for it begins anew", async () => {
    const { dir, source, open } = await setup();
    const { place } = await open();
    const other = await open();
    const url = source.serve("/a", safetensors(200_000), { holdAfterBytes: 1_000 });
    const cancel = new AbortController();
    const first = place("loras/a.safetensors", url, undefined, cancel.signal);
    first.catch(() => {});
    await eventually(() => source.requests.length === 1);
    const second = other.place("loras/a.safetensors", url);
    cancel.abort(new Error("canceled"));
    await expect(first).rejects.toThrow("canceled");
    await eventually(() => source.requests.length === 2);
    source.release();
    await second;
    expect(await modelsIn(dir)).toEqual(["loras/a.safetensors"]);
  });

  test("of a file that is not what its name says is never seen under that name", async () => {
    const { source, dir, open } = await setup();
    const { place } = await open();
    const pickle = Buffer.concat([Buffer.from("PK\x03\x04\x00\x00\x08\x08"), Buffer.alloc(500)]);
    const longer = Buffer.concat([safetensors(1_000), Buffer.alloc(7)]);
    for (const bytes of [pickle, longer, safetensors(1_000).subarray(0, -1)])
      expect(await codeOf(place("loras/a.safetensors", source.serve("/a", bytes)))).toBe("model_rejected");
    expect(await modelsIn(dir)).toEqual([]);
  });

  test("of rubbish is refused at its beginning, long before its end", async () => {
    const { source, dir, open } = await setup();
    const { place } = await open();
    const page = Buffer.concat([Buffer.from("<!DOCTYPE html><html>"), Buffer.alloc(100_000, " ")]);
    const url = source.serve("/a", page, { holdAfterBytes: 1_000 });
    expect(await codeOf(place("loras/a.safetensors", url))).toBe("model_rejected"); // the rest never comes
    expect(await modelsIn(dir)).toEqual([]);
  });
});

describe("what is there already", () => {
  test("of an operator is used as it is, and hashed once for those who pin it", async () => {
    const { dir, source, open } = await setup();
    const { place } = await open();
    const bytes = safetensors(1_000);
    await mkdir(join(dir, "loras"));
    await writeFile(join(dir, "loras/a.safetensors"), bytes);
    await place("loras/a.safetensors", `${source.url}/never`);
    await place("loras/a.safetensors", `${source.url}/never`, sha256(bytes));
    const index = JSON.parse(await readFile(join(dir, ".comfyq/index.json"), "utf8"));
    expect(index.seen["loras/a.safetensors"].sha256).toBe(sha256(bytes));
    expect(source.requests).toEqual([]);
  });

  test("of an operator is never replaced by another content", async () => {
    const { dir, source, open } = await setup();
    const { place } = await open();
    await mkdir(join(dir, "loras"));
    await writeFile(join(dir, "loras/a.safetensors"), "mine");
    const wanted = safetensors(1_000);
    const placing = place("loras/a.safetensors", source.serve("/a", wanted), sha256(wanted));
    await expect(placing).rejects.toThrow("send it under another name");
    expect(await readFile(join(dir, "loras/a.safetensors"), "utf8")).toBe("mine");
  });

  test("of an operator who was faster than the download is kept", async () => {
    const { dir, source, open } = await setup();
    const { place } = await open();
    const url = source.serve("/a", safetensors(200_000), { holdAfterBytes: 1_000 });
    const placing = place("loras/a.safetensors", url);
    await eventually(() => source.requests.length === 1);
    await writeFile(join(dir, "loras/a.safetensors"), "mine");
    source.release();
    await placing;
    expect(await readFile(join(dir, "loras/a.safetensors"), "utf8")).toBe("mine");
    expect(await modelsIn(dir)).toEqual(["loras/a.safetensors"]);
  });

  test("from another source is refused; with a pin that it does not meet it is replaced once nobody uses it", async () => {
    const { dir, source, open } = await setup();
    const { place } = await open();
    const [old, wanted] = [safetensors(1_000, 1), safetensors(1_000, 2)];
    const used = await place("loras/a.safetensors", source.serve("/old", old));
    const url = source.serve("/new", wanted);
    expect(await codeOf(place("loras/a.safetensors", url))).toBe("model_rejected");
    const pinned = () => codeOf(place("loras/a.safetensors", url, sha256(wanted)));
    expect(await pinned()).toBe("model_rejected");
    await used.release();
    expect(await pinned()).toBe("placed");
    expect((await readFile(join(dir, "loras/a.safetensors"))).equals(wanted)).toBe(true);
  });

  test("is not believed when a pin says otherwise", async () => {
    const { dir, source, open } = await setup();
    const { place } = await open();
    const url = source.serve("/a", safetensors(1_000));
    const placing = place("loras/a.safetensors", url, "0".repeat(64));
    await expect(placing).rejects.toThrow("the job asks for 0000");
    expect(await modelsIn(dir)).toEqual([]);
  });

  test("a link that leads out of the models folder is not followed", async () => {
    const { dir, source, open } = await setup();
    const outside = await mkdtemp(join(tmpdir(), "outside-"));
    onTestFinished(() => rm(outside, { recursive: true, force: true }));
    const { place } = await open();
    await symlink(outside, join(dir, "loras"));
    expect(await codeOf(place("loras/a.safetensors", source.serve("/a", safetensors(1_000))))).toBe("model_rejected");
    expect(await readdir(outside)).toEqual([]);
  });
});

describe("under a budget", () => {
  const size = safetensors(10_000).length;
  const budget = { COMFYQ_MODELS_BUDGET_BYTES: String(2 * size + 100) };

  test("the least recently used go first, and no more than needed", async () => {
    const { dir, source, open } = await setup();
    const { place, models } = await open(budget);
    const put = async (name: string) =>
      (await place(`loras/${name}.safetensors`, source.serve(`/${name}`, safetensors(10_000)))).release();
    for (const name of ["a", "b", "a", "c"]) await put(name);
    expect(await modelsIn(dir)).toEqual(["loras/a.safetensors", "loras/c.safetensors"]);
    expect(models.counts.evictions).toBe(1);
    expect(await models.sizeBytes()).toBe(2 * size);
  });

  test("what a job of another process uses stays, and so does what an operator put there", async () => {
    const { dir, source, open } = await setup();
    const other = await open(budget);
    const { place } = await open(budget);
    await mkdir(join(dir, "loras"));
    await writeFile(join(dir, "loras/mine.safetensors"), Buffer.alloc(50_000));
    const held = [];
    for (const name of ["a", "b"])
      held.push(await other.place(`loras/${name}.safetensors`, source.serve(`/${name}`, safetensors(10_000))));
    const third = () => place("loras/c.safetensors", source.serve("/c", safetensors(10_000)));
    await expect(third()).rejects.toThrow("bytes more are needed");
    expect(await modelsIn(dir)).toEqual(["a", "b", "mine"].map((name) => `loras/${name}.safetensors`));
    await held[1]?.release();
    await third();
    expect(await modelsIn(dir)).toEqual(["a", "c", "mine"].map((name) => `loras/${name}.safetensors`));
  });

  test("nothing is evicted for what would not fit anyway", async () => {
    const { dir, source, open } = await setup();
    const { place } = await open(budget);
    await (await place("loras/a.safetensors", source.serve("/a", safetensors(10_000)))).release();
    expect(await codeOf(place("loras/b.safetensors", source.serve("/b", safetensors(90_000))))).toBe("models_full");
    expect(await modelsIn(dir)).toEqual(["loras/a.safetensors"]);
  });
});

test("what a process left that is no more is cleared away, and what it used may go", async () => {
  const { dir, source, open } = await setup();
  await mkdir(join(dir, ".comfyq"), { recursive: true });
  await writeFile(join(dir, ".comfyq/.comfyq-dead.part"), "half");
  await writeFile(join(dir, ".comfyq/index.x.tmp"), "half");
  await writeFile(join(dir, ".comfyq/lock.0"), "");
  const index = {
    v: 1,
    models: {},
    downloads: { "loras/a.safetensors": { id: "dead", owner: "dead", reserved_bytes: 9 } },
    uses: { u: { owner: "dead", path: "loras/a.safetensors" } },
    past: {},
    seen: {},
  };
  await writeFile(join(dir, ".comfyq/index.json"), JSON.stringify(index));
  const { place } = await open(); // waits until the lock of the dead is stale
  expect(JSON.parse(await readFile(join(dir, ".comfyq/index.json"), "utf8"))).toMatchObject({
    downloads: {},
    uses: {},
  });
  expect((await readdir(join(dir, ".comfyq"))).filter((name) => /part|tmp/.test(name))).toEqual([]);
  await place("loras/a.safetensors", source.serve("/a", safetensors(1_000)));
  expect(await modelsIn(dir)).toEqual(["loras/a.safetensors"]);
});

test("a models folder that is not there is told at the start, with the setting's name", async () => {
  const { dir } = await setup();
  await expect(openWorker(join(dir, "nowhere"))).rejects.toThrow("COMFYUI_MODELS_DIR (");
});
