import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Simulator } from "../src/index.ts";
import { decodePng } from "../src/pictures/decodePng.ts";
import { picture, readJson, run, start, submit } from "./setup.ts";

const textToImage = (text: string, seed: number, size: number): Record<string, unknown> => ({
  "3": {
    class_type: "KSampler",
    inputs: {
      ...{ seed, steps: 3, cfg: 7, sampler_name: "euler", scheduler: "normal", denoise: 1 },
      ...{ model: ["4", 0], positive: ["6", 0], negative: ["7", 0], latent_image: ["5", 0] },
    },
  },
  "4": { class_type: "CheckpointLoaderSimple", inputs: { ckpt_name: "sd_xl_base_1.0.safetensors" } },
  "5": { class_type: "EmptyLatentImage", inputs: { width: size, height: size, batch_size: 1 } },
  "6": { class_type: "CLIPTextEncode", inputs: { text, clip: ["4", 1] } },
  "7": { class_type: "CLIPTextEncode", inputs: { text: "bad", clip: ["4", 1] } },
  "8": { class_type: "VAEDecode", inputs: { samples: ["3", 0], vae: ["4", 2] } },
  "9": { class_type: "SaveImage", inputs: { filename_prefix: "t2i", images: ["8", 0] } },
});

/** Frames that differ, as input of what saves animations. */
const frames = {
  "1": { class_type: "SimPicture", inputs: { text: "one", seed: 1, width: 96, height: 64 } },
  "2": { class_type: "SimPicture", inputs: { text: "two", seed: 2, width: 96, height: 64 } },
  "3": { class_type: "ImageBatch", inputs: { image1: ["1", 0], image2: ["2", 0] } },
};

/** Runs a graph and reads the file that node `id` saved under `key`. */
async function saved(simulator: Simulator, graph: object, id: string, key: string): Promise<Buffer> {
  const [file] = (await run(simulator, graph)).outputs[id]?.[key] ?? [];
  return readFileSync(join(simulator.dir, file?.type ?? "", file?.subfolder ?? "", file?.filename ?? ""));
}

const ascii = (file: Buffer, from: number, to: number): string => file.toString("latin1", from, to);

test("a sampled picture is a PNG of the wanted size, shows text and seed, and carries the graph", async () => {
  const simulator = await start();
  const draw = (text: string, seed: number): Promise<Buffer> =>
    saved(simulator, textToImage(text, seed, 512), "9", "images");
  const fox = decodePng(await draw("a red fox", 1));
  const [again, owl, other] = [
    await draw("a red fox ", 1),
    await draw("a grey owl", 1),
    await draw("a red fox", 2),
  ].map((file) => decodePng(file).raster.dots);
  expect([fox.raster.width, fox.raster.height]).toEqual([512, 512]);
  expect(again).toEqual(fox.raster.dots); // one more space, another run, the same picture
  expect(owl).not.toEqual(fox.raster.dots);
  expect(other?.[0]).not.toBe(fox.raster.dots[0]); // the seed decides the colours
  expect(JSON.parse(fox.text.get("prompt") ?? "")).toMatchObject({ "6": { inputs: { text: "a red fox" } } });
  // The words are there to be read: many light dots on the dark ground behind them.
  const light = fox.raster.dots.filter((value, at) => at % 3 === 0 && value === 250).length;
  expect(light).toBeGreaterThan(500);
});

test("a picture of 4096 by 4096 is made quickly, for it is drawn small", async () => {
  const simulator = await start();
  const file = await saved(simulator, textToImage("large", 1, 16384), "9", "images");
  expect([file.readUInt32BE(16), file.readUInt32BE(20)]).toEqual([4096, 4096]);
  expect(file.length).toBeLessThan(500_000);
});

test("extra_pnginfo is written into the PNG file, in ASCII as Python does", async () => {
  const simulator = await start();
  await run(simulator, picture(), { extra_data: { extra_pnginfo: { workflow: { id: "wäre" } } } });
  const { text } = decodePng(readFileSync(join(simulator.dir, "output", "ComfyUI_00001_.png")));
  expect(text.get("workflow")).toBe('{"id":"w\\u00e4re"}');
});

test("pictures are loaded, inverted, cropped, scaled and saved without loss", async () => {
  const simulator = await start();
  await run(simulator, picture(3, "source"));
  const chain = {
    "1": { class_type: "LoadImage", inputs: { image: "source_00001_.png [output]" } },
    "2": { class_type: "ImageInvert", inputs: { image: ["1", 0] } },
    "3": { class_type: "ImageInvert", inputs: { image: ["2", 0] } },
    "4": { class_type: "SaveImage", inputs: { images: ["3", 0], filename_prefix: "same" } },
    "5": { class_type: "ImageCrop", inputs: { image: ["1", 0], width: 10, height: 20, x: 60, y: 0 } },
    "6": { class_type: "ImageScaleBy", inputs: { image: ["5", 0], upscale_method: "area", scale_by: 3 } },
    "7": { class_type: "ImageBlur", inputs: { image: ["6", 0], blur_radius: 2, sigma: 1 } },
    "8": { class_type: "SaveImage", inputs: { images: ["7", 0], filename_prefix: "part" } },
  };
  await run(simulator, chain);
  const read = (name: string) => decodePng(readFileSync(join(simulator.dir, "output", name))).raster;
  expect(read("same_00001_.png")).toEqual(read("source_00001_.png"));
  expect([read("part_00001_.png").width, read("part_00001_.png").height]).toEqual([12, 60]);
});

test("an animated WebP is a RIFF file with a lossless frame for each picture", async () => {
  const simulator = await start();
  const inputs = { images: ["3", 0], filename_prefix: "a", fps: 4, lossless: true, quality: 80, method: "default" };
  const graph = { ...frames, "4": { class_type: "SaveAnimatedWEBP", inputs } };
  const file = await saved(simulator, graph, "4", "images");
  expect([ascii(file, 0, 4), ascii(file, 8, 16), file.readUInt32LE(4)]).toEqual(["RIFF", "WEBPVP8X", file.length - 8]);
  expect([file.readUIntLE(24, 3) + 1, file.readUIntLE(27, 3) + 1]).toEqual([96, 64]);
  const text = file.toString("latin1");
  expect(text.split("ANMF")).toHaveLength(3);
  const at = file.indexOf("VP8L");
  expect([file[at + 8], (file.readUInt32LE(at + 9) & 0x3fff) + 1]).toEqual([0x2f, 96]);
});

test("an animated PNG says how many frames it has, and its first frame decodes", async () => {
  const simulator = await start();
  const inputs = { images: ["3", 0], filename_prefix: "a", fps: 4, compress_level: 4 };
  const file = await saved(simulator, { ...frames, "4": { class_type: "SaveAnimatedPNG", inputs } }, "4", "images");
  expect(file.readUInt32BE(file.indexOf("acTL") + 4)).toBe(2);
  expect(decodePng(file).raster.width).toBe(96);
});

test("video is a complete MP4 file with PNG frames, WebM an EBML file of type webm", async () => {
  const simulator = await start();
  const mp4 = {
    ...frames,
    "4": { class_type: "CreateVideo", inputs: { images: ["3", 0], fps: 2 } },
    "5": { class_type: "SaveVideo", inputs: { video: ["4", 0], filename_prefix: "v", format: "mp4", codec: "auto" } },
  };
  const film = await saved(simulator, mp4, "5", "images");
  const boxes: string[] = [];
  for (let at = 0; at < film.length; at += film.readUInt32BE(at)) boxes.push(ascii(film, at + 4, at + 8));
  expect(boxes).toEqual(["ftyp", "moov", "mdat"]);
  const firstSample = film.readUInt32BE(film.indexOf("stco") + 12);
  const sizes = film.indexOf("stsz") + 12;
  const frame = film.subarray(firstSample, firstSample + film.readUInt32BE(sizes + 4));
  expect([film.readUInt32BE(sizes), decodePng(frame).raster.width]).toEqual([2, 96]);
  const inputs = { images: ["3", 0], filename_prefix: "w", codec: "vp9", fps: 2, crf: 32 };
  const webm = await saved(simulator, { ...frames, "4": { class_type: "SaveWEBM", inputs } }, "4", "images");
  expect([webm.readUInt32BE(0).toString(16), webm.subarray(0, 60).includes("webm")]).toEqual(["1a45dfa3", true]);
});

test("VHS_VideoCombine shows its film under gifs, with the first frame beside it under the same number", async () => {
  const simulator = await start();
  const inputs = {
    ...{ images: ["3", 0], frame_rate: 2, loop_count: 0, filename_prefix: "vhs", format: "video/h264-mp4" },
    ...{ pingpong: false, save_output: true },
  };
  const { outputs } = await run(simulator, { ...frames, "4": { class_type: "VHS_VideoCombine", inputs } });
  expect(outputs["4"]?.["gifs"]).toEqual([
    {
      ...{ filename: "vhs_00001.mp4", subfolder: "", type: "output", format: "video/h264-mp4", frame_rate: 2 },
      ...{ workflow: "vhs_00001.png", fullpath: join(simulator.dir, "output", "vhs_00001.mp4") },
    },
  ]);
});

test("sound, latents, meshes and texts have their own keys and are what they say", async () => {
  const simulator = await start();
  const { outputs } = await run(simulator, {
    "1": { class_type: "EmptyAudio", inputs: { duration: 0.5, sample_rate: 44100, channels: 2 } },
    "2": { class_type: "SaveAudio", inputs: { audio: ["1", 0], filename_prefix: "audio/a" } },
    "3": { class_type: "EmptyLatentImage", inputs: { width: 64, height: 64, batch_size: 1 } },
    "4": { class_type: "SaveLatent", inputs: { samples: ["3", 0], filename_prefix: "l" } },
    "5": { class_type: "VoxelToMeshBasic", inputs: { voxel: ["3", 0], threshold: 0.6 } },
    "6": { class_type: "SaveGLB", inputs: { mesh: ["5", 0], filename_prefix: "m" } },
    "7": { class_type: "StringConcatenate", inputs: { string_a: "a", string_b: "b", delimiter: "-" } },
    "8": { class_type: "SaveText", inputs: { text: ["7", 0], filename_prefix: "t", format: "md" } },
    "9": { class_type: "Preview3D", inputs: { model_file: "m_00001_.glb" } },
  });
  const read = (path: string): Buffer => readFileSync(join(simulator.dir, "output", path));
  expect(outputs["2"]).toEqual({ audio: [{ filename: "a_00001.flac", subfolder: "audio", type: "output" }] });
  expect(ascii(read("audio/a_00001.flac"), 0, 4)).toBe("fLaC");
  expect(outputs["4"]).toEqual({ latents: [{ filename: "l_00001_.latent", subfolder: "", type: "output" }] });
  expect(
    JSON.parse(ascii(read("l_00001_.latent"), 8, 8 + Number(read("l_00001_.latent").readBigUInt64LE()))),
  ).toMatchObject({
    latent_tensor: { shape: [1, 4, 8, 8] },
  });
  expect(outputs["6"]).toEqual({ "3d": [{ filename: "m_00001_.glb", subfolder: "", type: "output" }] });
  expect([ascii(read("m_00001_.glb"), 0, 4), read("m_00001_.glb").readUInt32LE(8)]).toEqual([
    "glTF",
    read("m_00001_.glb").length,
  ]);
  expect(outputs["8"]).toEqual({ text: ["a-b"], files: [{ filename: "t_00001_.md", subfolder: "", type: "output" }] });
  expect(read("t_00001_.md").toString()).toBe("a-b");
  expect(outputs["9"]).toEqual({ result: ["m_00001_.glb", null, null] });
});

test("SimOutput writes exactly so many bytes, the same for the same seed, and they are a PNG file", async () => {
  const simulator = await start();
  const make = (filename_prefix: string, seed: number): Promise<Buffer> =>
    saved(
      simulator,
      { "1": { class_type: "SimOutput", inputs: { bytes: 200_001, seed, filename_prefix } } },
      "1",
      "images",
    );
  const [one, same, other] = [await make("a", 1), await make("b", 1), await make("c", 2)];
  expect(one.length).toBe(200_001);
  expect(decodePng(one).raster.width).toBe(1);
  expect(same.equals(one)).toBe(true);
  expect(other.equals(one)).toBe(false);
});

test("/view re-encodes previews, and gives colour and alpha apart", async () => {
  const simulator = await start();
  await run(simulator, picture());
  const view = async (query: string): Promise<[string | null, Buffer]> => {
    const answer = await fetch(`${simulator.url}/view?filename=ComfyUI_00001_.png&${query}`);
    return [answer.headers.get("content-type"), Buffer.from(await answer.arrayBuffer())];
  };
  const [webpType, webp] = await view("preview=webp");
  const [jpegType, jpeg] = await view("preview=jpeg;50");
  const [rgbType, rgb] = await view("channel=rgb");
  expect([webpType, jpegType, rgbType]).toEqual(["image/webp", "image/jpeg", "image/png"]);
  expect([ascii(webp, 8, 16), jpeg.toString("hex", 0, 3), decodePng(rgb).raster.width]).toEqual([
    "WEBPVP8L",
    "ffd8ff",
    64,
  ]);
  expect(simulator.stats().views).toEqual({ count: 3, bytes: webp.length + jpeg.length + rgb.length });
});

test("SaveImageWebsocket delivers its pictures as binary frames and nothing else", async () => {
  const simulator = await start();
  const { listen } = await import("./setup.ts");
  const client = await listen(simulator, "me");
  const graph = { ...frames, "4": { class_type: "SaveImageWebsocket", inputs: { images: ["3", 0] } } };
  const { outputs } = await run(simulator, graph, { client_id: "me" });
  await client.until(({ type, data }) => type === "executing" && data["node"] === null);
  const binary = client.frames.filter((frame) => frame instanceof Uint8Array);
  expect(outputs).toEqual({});
  expect(binary.map((frame) => [Buffer.from(frame).readUInt32BE(0), Buffer.from(frame).readUInt32BE(4)])).toEqual([
    [1, 2],
    [1, 2],
  ]);
  expect(decodePng(Buffer.from(binary[1] ?? []).subarray(8)).raster.width).toBe(96);
});

test("a graph that is not there any more is refused as a missing checkpoint is", async () => {
  const simulator = await start({ models: { checkpoints: ["only.safetensors"] } });
  const { status, node_errors } = await submit(simulator, textToImage("x", 1, 64));
  expect([status, node_errors["4"]?.errors[0]?.type]).toEqual([400, "value_not_in_list"]);
  expect(await readJson(fetch(`${simulator.url}/models/checkpoints`))).toEqual(["only.safetensors"]);
});
