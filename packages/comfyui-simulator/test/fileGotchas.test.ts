import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Simulator } from "../src/index.ts";
import { decodePng } from "../src/pictures/decodePng.ts";
import { encodePng } from "../src/pictures/encodePng.ts";
import { pictureOf } from "../src/pictures/Picture.ts";
import { paintSolid } from "../src/pictures/paint.ts";
import { finished, picture, readJson, restart, run, start, submit } from "./setup.ts";

/** Uploads bytes under a name, with more fields. */
async function upload(
  { url }: Simulator,
  name: string,
  content: string | Uint8Array,
  fields: Record<string, string> = {},
  path = "/upload/image",
): Promise<{ status: number; name?: string; subfolder?: string; type?: string }> {
  const form = new FormData();
  for (const [key, value] of Object.entries(fields)) form.set(key, value);
  form.set("image", new Blob([Buffer.from(content)]), name);
  const answer = await fetch(url + path, { method: "POST", body: form });
  return { status: answer.status, ...(answer.status === 200 ? await readJson<object>(answer) : {}) };
}

const view = ({ url }: Simulator, query: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${url}/view?${query}`, { headers });

test("gotcha 34: uploads keep any file type, know their own content, and are renamed unless overwrite is true or 1", async () => {
  const simulator = await start();
  expect(await upload(simulator, "a.txt", "one")).toMatchObject({
    status: 200,
    name: "a.txt",
    subfolder: "",
    type: "input",
  });
  expect((await upload(simulator, "a.txt", "one")).name).toBe("a.txt");
  expect((await upload(simulator, "a.txt", "two")).name).toBe("a (1).txt");
  expect((await upload(simulator, "a.txt", "two")).name).toBe("a (1).txt");
  expect((await upload(simulator, "a.txt", "three", { overwrite: "True" })).name).toBe("a (2).txt");
  expect((await upload(simulator, "a.txt", "four", { overwrite: "1" })).name).toBe("a.txt");
  expect(readFileSync(join(simulator.dir, "input", "a.txt"), "utf8")).toBe("four");
  expect(await upload(simulator, "b.bin", "x", { subfolder: "deep/er", type: "temp" })).toMatchObject({
    name: "b.bin",
    subfolder: "deep/er",
    type: "temp",
  });
  expect((await upload(simulator, "c.bin", "x", { subfolder: "../.." })).status).toBe(400);
  expect((await upload(simulator, "c.bin", "x", { type: "nowhere" })).status).toBe(500);
  expect((await upload(simulator, "no/such/folder.bin", "x")).status).toBe(500);
  const none = new FormData();
  none.set("overwrite", "true");
  expect((await fetch(`${simulator.url}/upload/image`, { method: "POST", body: none })).status).toBe(400);
  expect(simulator.stats().uploads.count).toBe(7);
});

test("gotcha 35: a mask for an original that is missing is answered with 200, and nothing is written", async () => {
  const simulator = await start();
  const half = pictureOf(4, 4, () => ({ width: 1, height: 1, channels: 4, dots: Uint8Array.of(0, 0, 0, 128) }));
  const mask = await encodePng(half);
  const reference = (filename: string): Record<string, string> => ({
    original_ref: JSON.stringify({ filename, type: "input" }),
  });
  const lost = await upload(simulator, "lost.png", mask, reference("nowhere.png"), "/upload/mask");
  expect([lost.status, lost.name, existsSync(join(simulator.dir, "input", "lost.png"))]).toEqual([
    200,
    "lost.png",
    false,
  ]);
  await upload(simulator, "original.png", await encodePng(paintSolid(4, 4, [9, 8, 7])));
  await upload(simulator, "masked.png", mask, reference("original.png"), "/upload/mask");
  const { raster } = decodePng(readFileSync(join(simulator.dir, "input", "masked.png")));
  expect([...raster.dots.subarray(0, 4)]).toEqual([9, 8, 7, 128]);
  expect((await upload(simulator, "x.png", mask, {}, "/upload/mask")).status).toBe(500);
});

test("gotcha 36: /view takes basenames and suffixes, refuses escapes, offers active types for download, knows ranges", async () => {
  const simulator = await start();
  mkdirSync(join(simulator.dir, "output", "sub"));
  writeFileSync(join(simulator.dir, "output", "sub", "b.png"), "0123456789");
  writeFileSync(join(simulator.dir, "input", "page.html"), "<script>");
  writeFileSync(join(simulator.dir, "input", "drawing.svg"), "<svg/>");
  const status = async (query: string): Promise<number> => (await view(simulator, query)).status;
  expect(await status("filename=b.png&subfolder=sub")).toBe(200);
  expect(await status("filename=sub/b.png")).toBe(404);
  expect(await status("filename=x/b.png&subfolder=sub")).toBe(200);
  expect(await status("filename=page.html%20[input]")).toBe(200);
  const refused = ["filename=", "filename=/etc/passwd", "filename=../x", "filename=b.png&type=nowhere"];
  expect(await Promise.all(refused.map(status))).toEqual([400, 400, 400, 400]);
  expect(await Promise.all(["subfolder=..&filename=b", "filename=none", "subfolder=sub"].map(status))).toEqual([
    403, 404, 404,
  ]);
  const part = await view(simulator, "filename=b.png&subfolder=sub", { range: "bytes=2-4" });
  expect([part.status, part.headers.get("content-range"), await part.text()]).toEqual([206, "bytes 2-4/10", "234"]);
  const page = await view(simulator, "filename=page.html&type=input");
  expect([
    page.headers.get("content-type"),
    page.headers.get("content-disposition"),
    page.headers.get("cache-control"),
  ]).toEqual(["application/octet-stream", 'attachment; filename="page.html"', "no-store"]);
  expect((await view(simulator, "filename=drawing.svg&type=input")).headers.get("content-type")).toBe(
    "application/octet-stream",
  );
  const head = await fetch(`${simulator.url}/view?filename=b.png&subfolder=sub`, { method: "HEAD" });
  expect([head.status, head.headers.get("content-length"), await head.text()]).toEqual([200, "10", ""]);
  const since = { "if-modified-since": String(head.headers.get("last-modified")) };
  expect((await view(simulator, "filename=b.png&subfolder=sub", since)).status).toBe(304);
});

test("gotcha 37: the counter follows the folder's files for each prefix, and temp is wiped by a restart", async () => {
  const simulator = await start();
  const names = async (prefix: string, seed: number): Promise<string[]> =>
    ((await run(simulator, picture(seed, prefix))).outputs["2"]?.["images"] ?? []).map(({ subfolder, filename }) =>
      join(subfolder, filename),
    );
  writeFileSync(join(simulator.dir, "output", "fox_00041_.png"), "");
  expect(await names("fox", 1)).toEqual(["fox_00042_.png"]);
  expect(await names("fox", 2)).toEqual(["fox_00043_.png"]);
  expect(await names("fo", 3)).toEqual(["fo_00001_.png"]);
  expect(await names("deep/%width%x%height%", 4)).toEqual(["deep/64x64_00001_.png"]);
  const outside = await submit(simulator, picture(5, "../../x"));
  expect((await finished(simulator, outside.prompt_id)).status.status_str).toBe("error");
  const preview = { ...picture(6), "2": { class_type: "PreviewImage", inputs: { images: ["1", 0] } } };
  const { outputs } = await run(simulator, preview);
  expect(outputs["2"]?.["images"]?.[0]).toMatchObject({
    type: "temp",
    filename: expect.stringMatching(/^ComfyUI_temp_[a-z]{5}_00001_\.png$/),
  });
  const temporary = (): string[] => readdirSync(join(simulator.dir, "temp"));
  expect(temporary()).toHaveLength(1);
  await restart(simulator);
  expect(temporary()).toEqual([]);
  expect(await names("fox", 7)).toEqual(["fox_00044_.png"]);
});

test("gotcha 48: a new model file is there for the next request", async () => {
  const simulator = await start({ models: {} });
  const graph = {
    "1": { class_type: "VAELoader", inputs: { vae_name: "sub/new.safetensors" } },
    "2": { class_type: "PreviewAny", inputs: { source: ["1", 0] } },
  };
  expect((await submit(simulator, graph)).status).toBe(400);
  mkdirSync(join(simulator.dir, "models", "vae", "sub"), { recursive: true });
  writeFileSync(join(simulator.dir, "models", "vae", "sub", "new.safetensors"), "");
  expect(await readJson(fetch(`${simulator.url}/models/vae`))).toEqual(["sub/new.safetensors"]);
  const info = await readJson<{ VAELoader: { input: { required: { vae_name: [string[]] } } } }>(
    fetch(`${simulator.url}/object_info/VAELoader`),
  );
  expect(info.VAELoader.input.required.vae_name[0]).toEqual(["sub/new.safetensors"]);
  expect((await submit(simulator, graph)).status).toBe(200);
  expect((await fetch(`${simulator.url}/models/nonsense`)).status).toBe(404);
});

test("two servers may share a models folder outside of their own, and a folder with a dot is no kind of model", async () => {
  const modelsDir = join((await start()).dir, "shared");
  mkdirSync(join(modelsDir, "loras"), { recursive: true });
  mkdirSync(join(modelsDir, ".hidden"));
  writeFileSync(join(modelsDir, "loras", "a.sft"), "");
  for (const { url } of [await start({ models: {}, modelsDir }), await start({ models: {}, modelsDir })]) {
    expect(await readJson(fetch(`${url}/models/loras`))).toEqual(["a.sft"]);
    expect(await readJson(fetch(`${url}/models`))).not.toContain(".hidden");
  }
});

test("gotcha 49: SaveVideo's files stand under images, with animated beside them", async () => {
  const simulator = await start();
  const graph = {
    "1": { class_type: "EmptyImage", inputs: { width: 64, height: 32, batch_size: 8, color: 255 } },
    "2": { class_type: "CreateVideo", inputs: { images: ["1", 0], fps: 8 } },
    "3": {
      class_type: "SaveVideo",
      inputs: { video: ["2", 0], filename_prefix: "video/ComfyUI", format: "auto", codec: "auto" },
    },
  };
  expect((await run(simulator, graph)).outputs["3"]).toEqual({
    images: [{ filename: "ComfyUI_00001_.mp4", subfolder: "video", type: "output" }],
    animated: [true],
  });
});
