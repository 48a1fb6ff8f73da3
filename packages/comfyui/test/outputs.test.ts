import { describe, expect, test } from "vitest";
import { collectOutputs } from "../src/index.ts";
import type { HistoryEntry } from "../src/wire/index.ts";

const file = (filename: string, subfolder = "", type = "output") => ({ filename, subfolder, type });

function collect(outputs: HistoryEntry["outputs"], meta?: HistoryEntry["meta"]) {
  return collectOutputs({ outputs, ...(meta ? { meta } : {}) });
}

/** Every shape of reference/comfyui-protocol.md §3.4: what the node returns → names of files, and values. */
const shapes: readonly [string, Record<string, unknown>, readonly string[], readonly unknown[]][] = [
  ["SaveImage", { images: [file("a_00001_.png"), file("a_00002_.png")] }, ["a_00001_.png", "a_00002_.png"], []],
  ["PreviewImage", { images: [file("ComfyUI_temp_x_00001_.png", "", "temp")] }, ["ComfyUI_temp_x_00001_.png"], []],
  ["SaveAnimatedWEBP", { images: [file("a.webp")], animated: [true] }, ["a.webp"], []],
  ["SaveVideo", { images: [file("ComfyUI_00001_.mp4", "video")], animated: [true] }, ["video/ComfyUI_00001_.mp4"], []],
  [
    "VHS VideoCombine",
    { gifs: [{ ...file("v.mp4"), format: "video/h264-mp4", frame_rate: 8, workflow: "v.png", fullpath: "/x/v.mp4" }] },
    ["v.mp4"],
    [],
  ],
  ["SaveAudio", { audio: [file("a_00001.flac", "audio")] }, ["audio/a_00001.flac"], []],
  ["SaveLatent", { latents: [file("l.latent")] }, ["l.latent"], []],
  ["SaveGLB", { "3d": [file("mesh.glb", "3d")] }, ["3d/mesh.glb"], []],
  ["Preview3D", { result: ["3d/mesh.glb", null, { fov: 35 }] }, [], ["3d/mesh.glb", { fov: 35 }]],
  ["PreviewAny", { text: ["hello"] }, [], ["hello"]],
  ["SaveText", { text: ["hello"], files: [file("t.txt")] }, ["t.txt"], ["hello"]],
  ["SaveSVGNode", { images: [file("d.svg")] }, ["d.svg"], []],
  ["SaveImageWebsocket", {}, [], []],
  [
    "an entry without subfolder, with an asset id",
    { images: [{ filename: "a.png", type: "output", id: "u", metadata: {} }] },
    ["a.png"],
    [],
  ],
  ["bare values and numbers", { seed: 7, tags: ["a", 1, true], nested: [[1, 2]] }, [], [7, "a", 1, true, [1, 2]]],
  [
    "something that only looks like a file",
    {
      odd: [
        { filename: "x", type: "elsewhere" },
        { filename: "", type: "output" },
      ],
    },
    [],
    [
      { filename: "x", type: "elsewhere" },
      { filename: "", type: "output" },
    ],
  ],
];

describe("outputs are collected over all keys", () => {
  test.each(shapes)("%s", (_, returned, files, values) => {
    const collected = collect({ "9": returned });
    expect(collected.files.map(({ subfolder, filename }) => [subfolder, filename].filter(Boolean).join("/"))).toEqual(
      files,
    );
    expect(collected.values.map(({ value }) => value)).toEqual(values);
  });

  test("in node order, ids by number, and in the order of each node", () => {
    const { files } = collect({
      "10": { images: [file("c"), file("d")] },
      "9": { images: [file("b")] },
      "2": { audio: [file("a")] },
    });
    expect(files.map((one) => one.filename)).toEqual(["a", "b", "c", "d"]);
    expect(files.map((one) => one.index)).toEqual([0, 0, 0, 1]);
  });

  test("under the node that the customer submitted, when expansion made several of it", () => {
    const expanded = (id: string) => ({ node_id: id, display_node: "2", parent_node: "2", real_node_id: "2" });
    const outputs = { "2.0.0.1": { images: [file("a")] }, "2.0.0.2": { images: [file("b")] } };
    const { files } = collect(outputs, { "2.0.0.1": expanded("2.0.0.1"), "2.0.0.2": expanded("2.0.0.2") });
    expect(files.map(({ node_id, index, filename }) => [node_id, index, filename])).toEqual([
      ["2", 0, "a"],
      ["2", 1, "b"],
    ]);
  });

  test("a node without outputs is no obstacle", () => {
    expect(collect({ "1": null, "2": { images: [file("a")] } }).files).toHaveLength(1);
  });
});
