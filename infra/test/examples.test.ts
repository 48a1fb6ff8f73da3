import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as wait } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isUiFormat, Workflow } from "../../packages/contract/src/index.ts";
import { root } from "./composeFile.ts";

const folder = join(root, "infra/examples");
const names = (await readdir(folder)).filter((name) => name.endsWith(".json"));
const readExample = async (name: string): Promise<unknown> => JSON.parse(await readFile(join(folder, name), "utf8"));

/** 1 × 1 pixel, white: what stands in for `example.png`. */
const PNG = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8/x8AAwMCAO+ip1sAAAAASUVORK5CYII=",
  "base64",
);

/** What the tests read of `/object_info` and `/history`; both are ComfyUI's and hold more. */
type ObjectInfo = Record<
  string,
  { readonly input: Record<string, Record<string, unknown>>; readonly output: unknown[] }
>;
type History = Record<string, { readonly status: { readonly status_str: string }; readonly outputs: object }>;

describe("the examples", () => {
  test("there is one for images, for images from images, for video, and one that needs no model", () => {
    expect(names.toSorted()).toEqual(["image-to-image.json", "model-free.json", "text-to-image.json", "video.json"]);
  });

  test.each(names)("%s is a workflow in API format whose links lead somewhere", async (name) => {
    const example = await readExample(name);
    expect(isUiFormat(example)).toBe(false);
    const workflow = Workflow.parse(example);
    const links = Object.values(workflow).flatMap(({ inputs }) => Object.values(inputs).filter(Array.isArray));
    expect(links.length).toBeGreaterThan(0);
    for (const [nodeId] of links) expect(Object.keys(workflow)).toContain(nodeId);
  });

  test("the usual places are the usual ones: prompt and seed of the default graph", async () => {
    const { 3: sampler, 6: prompt } = Workflow.parse(await readExample("text-to-image.json"));
    expect(sampler?.inputs).toHaveProperty("seed");
    expect(prompt?.inputs).toHaveProperty("text");
  });
});

describe("a ComfyUI without a GPU", () => {
  let comfyui: ChildProcess;
  let dir: string;
  let url: string;

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "comfyq-examples-"));
    const main = join(root, "packages/comfyui-simulator/src/main.ts");
    const args = ["--conditions=@comfyq/source", main, "--port", "0", "--dir", dir, "--speed", "20"];
    comfyui = spawn(process.execPath, args, {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, COMFYQ_DIE_WITH_PARENT: "1" },
    });
    const lines = createInterface({ input: comfyui.stdout ?? process.stdin });
    const [line] = await Promise.race([once(lines, "line"), once(comfyui, "exit").then(() => ["it did not start"])]);
    url = (JSON.parse(String(line)) as { readonly url: string }).url; // the line's shape is what it promises
    const form = new FormData();
    form.set("image", new Blob([PNG], { type: "image/png" }), "example.png");
    form.set("overwrite", "true");
    expect((await fetch(`${url}/upload/image`, { method: "POST", body: form })).status).toBe(200);
  });

  afterAll(async () => {
    if (comfyui.exitCode === null) {
      comfyui.kill("SIGKILL");
      await once(comfyui, "exit");
    }
    await rm(dir, { recursive: true, force: true });
  });

  test.each(names)("knows every node and input of %s", async (name) => {
    const objectInfo = (await (await fetch(`${url}/object_info`)).json()) as ObjectInfo; // see the type
    for (const [id, node] of Object.entries(Workflow.parse(await readExample(name)))) {
      const declared = objectInfo[node.class_type]?.input;
      expect(declared, `${node.class_type} of node ${id}`).toBeDefined();
      const known = Object.keys({ ...declared?.["required"], ...declared?.["optional"] });
      expect(known, `${node.class_type} of node ${id}`).toEqual(expect.arrayContaining(Object.keys(node.inputs)));
      for (const required of Object.keys(declared?.["required"] ?? {})) expect(node.inputs).toHaveProperty([required]);
    }
  });

  test.each(names)("accepts %s whole, and renders it", async (name) => {
    const body = JSON.stringify({ prompt: await readExample(name) });
    const accepted = await fetch(`${url}/prompt`, { method: "POST", body });
    const answer = (await accepted.json()) as { readonly prompt_id: string; readonly node_errors: object };
    expect(accepted.status, JSON.stringify(answer)).toBe(200);
    expect(answer.node_errors).toEqual({});
    const entry = await untilDone(answer.prompt_id);
    expect(entry.status.status_str).toBe("success");
    expect(Object.keys(entry.outputs)).toHaveLength(1);
  });

  async function untilDone(promptId: string): Promise<History[string]> {
    for (;;) {
      const history = (await (await fetch(`${url}/history/${promptId}`)).json()) as History; // see the type
      const entry = history[promptId];
      if (entry) return entry;
      await wait(50);
    }
  }
});
