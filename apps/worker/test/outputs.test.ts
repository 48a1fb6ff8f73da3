import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Simulator, SimulatorOptions } from "@comfyq/comfyui-simulator";
import type { JobFacts, StoredFile, Workflow } from "@comfyq/contract";
import { readPictureHead } from "@comfyq/media";
import { expect, test, vi } from "vitest";
import { openMounted } from "../src/attempt/openMounted.ts";
import { type House, isEnded, setup } from "./setup.ts";

vi.setConfig({ testTimeout: 60_000 });

const SIGNAL = new AbortController().signal;
const PICTURE = { class_type: "SimPicture", inputs: { text: "a fox", seed: 7, width: 64, height: 64 } };
const STILL: Workflow = {
  "1": PICTURE,
  "2": { class_type: "SaveImage", inputs: { images: ["1", 0], filename_prefix: "fox" } },
};

const note = (text: string) => ({ class_type: "SaveText", inputs: { text, format: "txt", filename_prefix: "n" } });

const filesOf = (job: JobFacts) => job.outputs.filter((output): output is StoredFile => "key" in output);
const bytesOf = (house: House, file: StoredFile) => readFile(join(house.files, "store", file.key));

async function run(house: House, workflow: Workflow, more?: Parameters<House["submit"]>[1]): Promise<JobFacts> {
  const ended = await house.until(await house.submit(workflow, more), isEnded);
  expect(ended).toMatchObject({ status: "succeeded", error: null });
  return ended;
}

async function started(options?: SimulatorOptions, settings?: Record<string, string>) {
  const house = await setup();
  const simulator = await house.simulator(options);
  await house.worker(simulator.url, settings);
  return { house, simulator };
}

const views = (simulator: Simulator) => simulator.stats().requests["GET /view"] ?? 0;

test("every kind of output is stored under the customer's own name, with type, size and hash, whatever key it came under", async () => {
  const { house } = await started();
  const save = (class_type: string, inputs: Record<string, unknown>, filename_prefix: string) => ({
    class_type,
    inputs: { ...inputs, filename_prefix },
  });
  const film = { images: ["1", 0], frame_rate: 8, loop_count: 0, pingpong: false, save_output: true };
  const job = await run(house, {
    "1": PICTURE,
    "2": save("SaveImage", { images: ["1", 0] }, "stills/fox"),
    "3": save("VHS_VideoCombine", { ...film, format: "video/h264-mp4" }, "vhs"),
    "4": { class_type: "CreateVideo", inputs: { images: ["1", 0], fps: 8 } },
    "5": save("SaveVideo", { video: ["4", 0], format: "auto", codec: "auto" }, "video/film"),
    "6": { class_type: "EmptyAudio", inputs: { duration: 1, sample_rate: 8000, channels: 1 } },
    "7": save("SaveAudio", { audio: ["6", 0] }, "audio/sound"),
    "8": { class_type: "EmptyLatentImage", inputs: { width: 64, height: 64, batch_size: 1 } },
    "9": { class_type: "VoxelToMeshBasic", inputs: { voxel: ["8", 0], threshold: 0.6 } },
    "10": save("SaveGLB", { mesh: ["9", 0] }, "mesh/thing"),
    "11": save("SaveText", { text: "words", format: "txt" }, "note"),
    "12": save("SaveLatent", { samples: ["8", 0] }, "latents/l"),
    "13": { class_type: "PreviewAny", inputs: { source: ["1", 0] } },
    "14": save("SaveWEBM", { images: ["1", 0], codec: "vp9", fps: 24, crf: 32 }, "clip"),
    "15": { class_type: "PreviewImage", inputs: { images: ["1", 0] } },
  });
  expect(filesOf(job).map(({ node_id, name, type, content_type }) => [node_id, name, type, content_type])).toEqual([
    ["2", "stills-fox_00001_.png", "image", "image/png"],
    ["3", "vhs_00001.mp4", "video", "video/mp4"],
    ["5", "video-film_00001_.mp4", "video", "video/mp4"],
    ["7", "audio-sound_00001.flac", "audio", "audio/flac"],
    ["10", "mesh-thing_00001_.glb", "3d", "model/gltf-binary"],
    ["11", "note_00001_.txt", "text", "text/plain; charset=utf-8"],
    ["12", "latents-l_00001_.latent", "latent", "application/octet-stream"],
    ["14", "clip_00001_.webm", "video", "video/webm"],
  ]);
  expect(job.outputs.filter((output) => "value" in output).map(({ name }) => name)).toEqual(
    expect.arrayContaining(["11.text.0", "13.text.0"]),
  );
  for (const file of filesOf(job)) {
    const bytes = await bytesOf(house, file);
    expect([bytes.length, createHash("sha256").update(bytes).digest("hex")]).toEqual([file.size_bytes, file.sha256]);
  }
});

test("of identical jobs each has files of its own, though ComfyUI remembers the picture", async () => {
  const { house, simulator } = await started();
  const [first, second] = [await run(house, STILL), await run(house, STILL)];
  expect(filesOf(first)[0]?.name).toBe(filesOf(second)[0]?.name);
  expect(filesOf(first)[0]?.key).not.toBe(filesOf(second)[0]?.key);
  const folders = await readdir(join(simulator.dir, "output", "comfyq"));
  expect(folders.toSorted()).toEqual([`${first.id}-1`, `${second.id}-1`].toSorted());
});

/** Saves without a prefix, so that an identical prompt is answered from ComfyUI's cache. */
const PREFIXLESS: NonNullable<SimulatorOptions["nodes"]>[number] = {
  name: "SaveFixed",
  category: "test",
  pythonModule: "custom_nodes.test",
  inputs: () => ({ required: {} }),
  outputs: [],
  isOutput: true,
  run: async (_, { files }) => ({
    ui: { images: await files.save({ prefix: "fixed", type: "output", extension: ".bin" }, [Buffer.from("bytes")]) },
  }),
};
const FIXED: Workflow = { "1": { class_type: "SaveFixed", inputs: {} } };

test("a prompt that ComfyUI answers from its cache, though its files are gone, is rendered again, also at the last attempt", async () => {
  const { house, simulator } = await started({ nodes: [PREFIXLESS] });
  await run(house, FIXED);
  const output = join(simulator.dir, "output");
  for (const name of await readdir(output)) await rm(join(output, name), { recursive: true });
  const again = await run(house, FIXED, { max_attempts: 1 });
  expect(again).toMatchObject({ attempts: 2, outputs: [{ name: "fixed_00001_.bin", size_bytes: 5 }] });
});

test("a node that names files which are never there fails its job after three renders, and says which file", async () => {
  const { house, simulator } = await started();
  simulator.faults.add({ kind: "output_missing", times: 100 });
  const ended = await house.until(await house.submit(STILL), isEnded);
  expect(ended).toMatchObject({
    status: "failed",
    attempts: 3,
    error: { code: "output_missing", node_id: "2", blame: "workflow", message: expect.stringContaining("fox_0000") },
  });
  expect(await readdir(join(house.files, "store")).catch(() => [])).not.toContain("jobs");
});

test("pictures are converted, get a thumbnail, and stand under the customer's own prefix; the manifest stays where it is", async () => {
  const { house } = await started();
  const output = {
    prefix: "shop/pictures",
    convert: { format: "webp" as const },
    thumbnail: { max_px: 16 },
  };
  const again = { class_type: "SaveImage", inputs: { images: ["1", 0], filename_prefix: "owl" } };
  const job = await run(house, { ...STILL, "3": again, "4": note("words") }, { output });
  expect(
    filesOf(job).map(({ name, key, content_type, thumbnail }) => [name, key, content_type, thumbnail?.name]),
  ).toEqual([
    ["fox_00001_.webp", `shop/pictures/${job.id}/1/fox_00001_.webp`, "image/webp", "fox_00001_.thumb.webp"],
    ["owl_00001_.webp", `shop/pictures/${job.id}/1/owl_00001_.webp`, "image/webp", "owl_00001_.thumb.webp"],
    ["n_00001_.txt", `shop/pictures/${job.id}/1/n_00001_.txt`, "text/plain; charset=utf-8", undefined],
  ]);
  for (const file of filesOf(job)) {
    const bytes = await bytesOf(house, file);
    expect(createHash("sha256").update(bytes).digest("hex")).toBe(file.sha256);
    if (!file.thumbnail) continue;
    expect(file.thumbnail).toMatchObject({ width: 16, height: 16, content_type: "image/webp" });
    expect(readPictureHead(bytes)).toMatchObject({ width: 64, height: 64 });
    const small = await readFile(join(house.files, "store", file.thumbnail.key));
    expect(readPictureHead(small)).toMatchObject({ width: 16, height: 16 });
  }
  expect(await readdir(join(house.files, "store", "jobs", job.id))).toEqual(["manifest.json"]);
});

test("a picture that cannot be converted is stored as it is, with a warning, and so is what cannot be stripped", async () => {
  const { house } = await started();
  const moving = {
    images: ["1", 0],
    fps: 8,
    lossless: true,
    quality: 80,
    method: "default",
    filename_prefix: "moving",
  };
  const workflow: Workflow = {
    "1": { class_type: "EmptyImage", inputs: { width: 32, height: 32, batch_size: 3, color: 7 } },
    "2": { class_type: "SaveAnimatedWEBP", inputs: moving },
    "3": { class_type: "EmptyLatentImage", inputs: { width: 64, height: 64, batch_size: 1 } },
    "4": { class_type: "SaveLatent", inputs: { samples: ["3", 0], filename_prefix: "l" } },
  };
  const job = await run(house, workflow, { output: { convert: { format: "jpeg" }, strip_metadata: true } });
  expect(filesOf(job).map(({ name, content_type, warnings }) => [name, content_type, warnings])).toEqual([
    ["moving_00001_.webp", "image/webp", [expect.stringContaining("animated")]],
    ["l_00001_.latent", "application/octet-stream", [expect.stringContaining("metadata was not taken out")]],
  ]);
});

test("the workflow in a picture is there unless it is asked to be taken out", async () => {
  const { house } = await started();
  const [file] = filesOf(await run(house, STILL));
  const [clean] = filesOf(await run(house, STILL, { output: { strip_metadata: true } }));
  if (!file || !clean) throw new Error("a file is missing");
  expect((await bytesOf(house, file)).includes("SimPicture")).toBe(true);
  const bytes = await bytesOf(house, clean);
  expect([bytes.includes("SimPicture"), bytes.length]).toEqual([false, clean.size_bytes]);
  expect([clean.name, clean.warnings, readPictureHead(bytes)?.width]).toEqual(["fox_00001_.png", undefined, 64]);
});

test("a file whose line is cut in the middle goes on where it broke, and is whole", async () => {
  const { house, simulator } = await started();
  simulator.faults.add({ kind: "http_cut", path: "/view", method: "GET", times: 1 });
  const inputs = { bytes: 3_000_000, seed: 7, filename_prefix: "large" };
  const job = await run(house, { "1": { class_type: "SimOutput", inputs } });
  const [file] = filesOf(job);
  expect(views(simulator)).toBe(2);
  expect(job).toMatchObject({ attempts: 1, outputs: [{ size_bytes: 3_000_000 }] });
  const saved = await readFile(join(simulator.dir, "output", "comfyq", `${job.id}-1`, "large_00001_.png"));
  expect(file && (await bytesOf(house, file)).equals(saved)).toBe(true);
});

test("outputs in a mounted folder are read there, and nothing is fetched", async () => {
  const house = await setup();
  const simulator = await house.simulator();
  await house.worker(simulator.url, { COMFYUI_OUTPUT_DIR: join(simulator.dir, "output") });
  const job = await run(house, STILL);
  expect(views(simulator)).toBe(0);
  const [file] = filesOf(job);
  const folder = join(simulator.dir, "output", "comfyq", `${job.id}-1`);
  expect(file && (await bytesOf(house, file))).toEqual(await readFile(join(folder, "fox_00001_.png")));
});

test("what is not in the mounted folder, and what was not saved for this job, is fetched", async () => {
  const house = await setup();
  const simulator = await house.simulator({ nodes: [PREFIXLESS] });
  const elsewhere = join(house.files, "another");
  await mkdir(elsewhere);
  await writeFile(join(elsewhere, "fixed_00001_.bin"), "another instance's");
  await house.worker(simulator.url, { COMFYUI_OUTPUT_DIR: elsewhere });
  const job = await run(house, { ...STILL, "3": { class_type: "SaveFixed", inputs: {} } });
  expect(filesOf(job).map(({ name }) => name)).toEqual(["fox_00001_.png", "fixed_00001_.bin"]);
  expect(filesOf(job)[1]?.size_bytes).toBe(5);
  expect(views(simulator)).toBe(2);
});

test("no name and no link leads out of the mounted folder", async () => {
  const { files } = await setup();
  const [folder, outside] = [join(files, "outputs"), join(files, "outside")];
  await mkdir(join(folder, "a"), { recursive: true });
  await mkdir(outside);
  await writeFile(join(outside, "secret"), "x");
  await writeFile(join(folder, "a", "plain"), "plain");
  await symlink(outside, join(folder, "door"));
  await symlink(join(outside, "secret"), join(folder, "link"));
  const open = (subfolder: string, filename: string) => openMounted(folder, { subfolder, filename }, SIGNAL);
  for (const [subfolder, filename] of [
    ["../outside", "secret"],
    ["", "../outside/secret"],
    ["door", "secret"],
    ["", "link"],
    ["", "a"],
    ["", "nothing"],
  ] as const)
    expect(await open(subfolder, filename)).toBeUndefined();
  expect((await open("a", "plain"))?.sizeBytes).toBe(5);
});

test("a mounted file that changes while it is read is found out before its last byte", async () => {
  const { files } = await setup();
  await writeFile(join(files, "film"), Buffer.alloc(500_000));
  const source = await openMounted(files, { subfolder: "", filename: "film" }, SIGNAL);
  const body = await source?.open({ start: 0, end: 500_000 });
  let readBytes = 0;
  const reading = async () => {
    for await (const chunk of body ?? []) {
      readBytes += chunk.length;
      if (readBytes === chunk.length) await writeFile(join(files, "film"), Buffer.alloc(500_000, 1));
    }
  };
  await expect(reading()).rejects.toMatchObject({ code: "busy" });
  expect(readBytes).toBeLessThan(500_000);
  await expect(source?.open({ start: 0, end: 10 })).rejects.toMatchObject({ code: "busy" });
});
