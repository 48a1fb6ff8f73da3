import { randomUUID } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { connectComfyUi } from "@comfyq/comfyui";
import { SCOPES, type Workflow } from "@comfyq/contract";
import { afterAll, expect, onTestFinished, test, vi } from "vitest";
import { copyImage, example, freshPixel, sampling } from "./graphs.ts";
import { writeKeys } from "./keys.ts";
import { startProcess } from "./processes.ts";
import { preparePython } from "./python.ts";
import { readSample, startStore } from "./samples.ts";
import { setup } from "./setup.ts";

// Clients that were written for Comfy Cloud, and for a local ComfyUI: the code of two articles, unchanged but for host and key.
const { python, missing } = await preparePython();
const why = missing === undefined ? "" : ` (skipped: ${missing})`;
/** Python begins slowly where much else runs. */
const SLOW_MS = 60_000;
const system = await setup({ workers: 2, simulatorArgs: ["--step-ms", "5"] });
const keysFile = join(system.dataDir, "cloud-keys.json");
const [key = ""] = await writeKeys(keysFile, [{ tenant: "studio", scopes: SCOPES }]);
const api = await startProcess("api", { env: { ...system.env, COMFYQ_PORT: "0", COMFYQ_KEYS_FILE: keysFile } });
const cloud = String(api.ready["url"]);
afterAll(async () => {
  await api.stop("SIGKILL");
  await system[Symbol.asyncDispose]();
});

/** Runs a sample for Fused in a folder of its own. @returns what its function returned, and what it has uploaded */
async function runFused(
  name: string,
  { files, call }: { readonly files: Record<string, string | Buffer>; readonly call: string },
) {
  if (!python) throw new Error("without Python this is skipped");
  const store = await startStore(files);
  onTestFinished(() => void store.close());
  const cwd = join(system.dataDir, name);
  await mkdir(cwd);
  await writeFile(join(cwd, name), await readSample(name, { "https://cloud.comfy.org": cloud }));
  const env = { FUSED_STORE: store.url, COMFY_API_KEY: key };
  const returned = await python.run("run_fused.py", [name, call], { cwd, env });
  const [uploaded, ...others] = store.kept;
  expect(others).toEqual([]);
  if (!uploaded) throw new Error("nothing was uploaded");
  return { returned, filename: uploaded[0], bytes: uploaded[1] };
}

/** A film of the pictures of nodes 2 and 3; its first node takes more inputs than it needs, as a partner's node does. */
const film: Workflow = {
  "1": { class_type: "ImageBatch", inputs: { image1: ["2", 0], image2: ["3", 0] } },
  "2": { class_type: "LoadImage", inputs: { image: "product" } },
  "3": { class_type: "LoadImage", inputs: { image: "scene" } },
  "4": { class_type: "CreateVideo", inputs: { images: ["1", 0], fps: 8 } },
  "5": {
    class_type: "SaveVideo",
    inputs: { video: ["4", 0], filename_prefix: "b-roll", format: "auto", codec: "auto" },
  },
};

test.skipIf(!python)(
  `the sample that makes a film of two uploaded pictures finds it under its own name${why}`,
  async () => {
    const workflow = JSON.stringify(film);
    const files = {
      "comfyui-brole-workflow.json": workflow,
      "reference_scene.png": freshPixel(),
      "think-pad-product.png": freshPixel(),
    };
    const { returned, filename, bytes } = await runFused("fused-images-to-video.py", {
      files,
      call: "images_to_video",
    });
    onTestFinished(() => rm(join("/tmp", filename), { force: true })); // the sample leaves it there
    expect(filename).toMatch(/_b-roll_00001__[0-9a-f]+\.mp4$/);
    expect(bytes.subarray(4, 8).toString()).toBe("ftyp");
    expect(returned).toContain(`${filename}" type="video/mp4"`);
    const jobId = filename.slice(0, 36);
    const held = await system.redisCommand("HGETALL", `comfyq:record:${jobId}`);
    expect([held.includes("b-roll"), held.includes(key)]).toEqual([true, false]); // it was sent along for partner nodes
  },
  SLOW_MS,
);

test.skipIf(!python)(
  `the sample that makes a picture of a text gets it as an array${why}`,
  async () => {
    const inner = Object.entries(example("text-to-image"));
    const names: Readonly<Record<string, string>> = { "6": "104:90", "3": "104:92" };
    const renamed = JSON.parse(
      JSON.stringify(Object.fromEntries(inner.map(([id, node]) => [names[id] ?? id, node]))).replaceAll(
        /\["(6|3)",/g,
        (_, id: string) => `["${names[id]}",`,
      ),
    );
    const files = { "01_get_started_text_to_image.json": JSON.stringify(renamed) };
    const { returned, filename, bytes } = await runFused("fused-text-to-image.py", { files, call: "text_to_image" });
    expect(returned).toEqual([[3, 512, 512], "uint8"]);
    expect([filename.endsWith(".png"), bytes.subarray(1, 4).toString()]).toEqual([true, "PNG"]);
  },
  SLOW_MS,
);

test.skipIf(!python)(
  `the client, the monitor, the cache and the errors of a guide to ComfyUI's API work together${why}`,
  async () => {
    if (!python) return;
    const cwd = join(system.dataDir, "guide");
    await mkdir(cwd);
    const hosts = { "http://localhost:8188": system.url };
    for (const name of ["client", "websocket", "validation", "caching", "errors"])
      await writeFile(join(cwd, `comfyui-${name}.py`), await readSample(`comfyui-${name}.py`, hosts));
    await writeFile(join(cwd, "workflow_api.json"), JSON.stringify(sampling(1)));
    await writeFile(join(cwd, "copy.json"), JSON.stringify(copyImage("x")));
    await writeFile(join(cwd, "photo.png"), freshPixel());
    expect(await python.run("run_comfyui.py", [], { cwd })).toEqual({
      ran: expect.arrayContaining([expect.stringMatching(/^Queued workflow: [0-9a-f-]{36}$/)]),
      uploaded: { name: "photo.png", subfolder: "poses", type: "input" },
      copied: ["12"],
      heard: expect.arrayContaining(["Progress: 1/1", "Done!"]),
      watched_ended: true,
      made: [true, expect.any(Number)],
      runs: 1,
      refused: [400, "missing_node_type"],
      invalid: "Prompt is required; Steps must be between 1 and 100",
    });
  },
  SLOW_MS,
);

test("comfyq's own client of Comfy Cloud takes comfyq for one: it uploads, submits, watches and reads", async () => {
  const client = connectComfyUi({ url: cloud, apiKey: key, dialect: "cloud" });
  onTestFinished(() => client.close());
  const { name } = await client.upload({ body: freshPixel(), name: "pose.png", overwrite: "replace" });
  const { promptId } = await client.submit({ promptId: randomUUID(), workflow: copyImage(name) });
  const { outputs } = await client.watch(promptId, { signal: AbortSignal.timeout(15_000), stallMs: 0 });
  const [file] = outputs.files;
  if (!file) throw new Error("nothing was saved");
  const { body } = await client.view({ filename: file.filename, type: file.type });
  expect((await buffer(body)).subarray(1, 4).toString()).toBe("PNG");
  const refused = await client.submit({ promptId: randomUUID(), workflow: sampling(1_000) });
  expect(await client.cancel(refused.promptId, { deadlineMs: 10_000 })).toMatchObject({ stopped: true });
});

/** As much of React as one component needs that is drawn again by hand. */
const REACT = {
  "package.json": '{"name": "react", "type": "module", "exports": {".": "./index.js", "./*": "./jsx.js"}}',
  "index.js": "export const useState = (first) => globalThis.useStateOfTest(first);",
  "jsx.js": "export const jsx = (type, props) => ({ type, props });\nexport { jsx as jsxs, jsx as jsxDEV };",
};

interface CloudEntry {
  readonly outputs: Readonly<Record<string, { readonly images: readonly { readonly filename: string }[] }>>;
}

interface Element {
  readonly type: string;
  readonly props: { readonly children?: unknown; readonly onClick?: () => Promise<void>; readonly src?: string };
}

function elementsIn(drawn: unknown): Element[] {
  if (Array.isArray(drawn)) return drawn.flatMap(elementsIn);
  if (typeof drawn !== "object" || drawn === null) return [];
  const element = drawn as Element; // made by the stand-in above
  return [element, ...elementsIn(element.props.children)];
}

test("the React component of the guide shows the picture that its button asked for", async () => {
  const folder = await mkdtemp(join(tmpdir(), "comfyq-react-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const react = join(folder, "node_modules", "react");
  await mkdir(react, { recursive: true });
  for (const [name, text] of Object.entries(REACT)) await writeFile(join(react, name), text);
  // What the guide leaves out of its graph stands where it says so.
  const { "3": sampler, "6": _prompt, "7": _negative, ...others } = sampling(1);
  const { steps: _steps, cfg: _cfg, seed: _seed, ...rest } = sampler?.inputs ?? {};
  const source = (await readSample("comfyui-react.tsx.txt", { "http://localhost:8188": system.url }))
    .replace("// ... rest of KSampler params", `...${JSON.stringify(rest)}`)
    .replaceAll("// ... clip connection", '"clip": ["4", 1]')
    .replace("// ... remaining nodes", `, ...${JSON.stringify(others)}`);
  await writeFile(join(folder, "WorkflowRunner.tsx"), source);
  const states: unknown[] = [];
  let at = 0;
  vi.stubGlobal("useStateOfTest", (first: unknown) => {
    const own = at++;
    if (own >= states.length) states.push(first);
    return [states[own], (next: unknown) => void states.splice(own, 1, next)];
  });
  // Left to the reader, too. The address that the component makes names nothing but the file: as Comfy Cloud's history names it.
  vi.stubGlobal("pollForResult", async (id: string) => {
    await system.until(id, ({ status }) => status === "succeeded");
    const history = await (await system.get(`/api/history_v2/${id}`)).json();
    return (history as Record<string, CloudEntry>)[id]?.outputs["9"]?.images[0];
  });
  onTestFinished(() => void vi.unstubAllGlobals());
  const { WorkflowRunner } = (await import(join(folder, "WorkflowRunner.tsx"))) as { WorkflowRunner: () => unknown };
  const draw = () => {
    at = 0;
    return elementsIn(WorkflowRunner());
  };
  await draw()
    .find(({ type }) => type === "button")
    ?.props.onClick?.();
  const src = draw().find(({ type }) => type === "img")?.props.src ?? "";
  expect(src).toContain("/view?filename=");
  const picture = await fetch(src);
  expect([picture.status, picture.headers.get("content-type")]).toEqual([200, "image/png"]);
});
