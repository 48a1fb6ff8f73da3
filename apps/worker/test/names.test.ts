import { NewJob, type Workflow } from "@comfyq/contract";
import { expect, test } from "vitest";
import { withJobFolder, withoutJobFolder } from "../src/attempt/filenamePrefix.ts";
import { nameFiles, outputType } from "../src/attempt/nameFiles.ts";

const workflow = NewJob.parse({
  workflow: {
    "9": { class_type: "SaveImage", inputs: { images: ["8", 0], filename_prefix: "video/ComfyUI" } },
    "10": { class_type: "Odd", inputs: { filename_prefix: ["3", 0] } },
  },
}).workflow;

test("two attempts of one job, and two jobs of one graph, save into folders of their own", () => {
  const folders = [
    { id: "a", epoch: 1 },
    { id: "a", epoch: 2 },
    { id: "b", epoch: 1 },
  ].map((job) => withJobFolder(workflow, job)["9"]?.inputs["filename_prefix"]);
  expect(new Set(folders).size).toBe(3);
  expect(workflow["9"]?.inputs["filename_prefix"]).toBe("video/ComfyUI");
});

test("a prefix that comes from a node which only holds a text is that text, in a folder of the attempt's own", () => {
  const linked: Workflow = {
    "1": { class_type: "PrimitiveString", inputs: { value: "shop/fox" } },
    "2": { class_type: "SaveImage", inputs: { images: ["3", 0], filename_prefix: ["1", 0] } },
  };
  expect(withJobFolder(linked, { id: "a", epoch: 1 })["2"]?.inputs["filename_prefix"]).toBe("comfyq/a-1/shop/fox");
});

test("a prefix that is a link to another node is left alone", () => {
  expect(withJobFolder(workflow, { id: "a", epoch: 1 })["10"]?.inputs["filename_prefix"]).toEqual(["3", 0]);
});

test("the customer's own subfolder comes back without ours", () => {
  expect(withoutJobFolder("comfyq/a-1/video")).toBe("video");
  expect(withoutJobFolder("comfyq\\a-1\\video")).toBe("video");
  expect(withoutJobFolder("video")).toBe("video");
  const job = "0190a0a0-0000-7000-8000-000000000000";
  expect(withoutJobFolder(`${job}/comfyq/${job}-2/video`)).toBe("video"); // behind another comfyq
  expect(withoutJobFolder("mine/comfyq/video")).toBe("mine/comfyq/video");
});

test("a file of another comfyq's, driven as a cloud, has its own name again", () => {
  const flat = (name: string) => `0190a0a0-0000-7000-8000-00000000000a_${name}`;
  const file = { node_id: "2", key: "images", index: 0, type: "output", subfolder: "" } as const;
  const names = ["out_00001__0123456789ab.png", "out_00001__cdef01234567.png", "odd"].map(flat);
  const named = nameFiles(names.map((filename) => ({ ...file, filename })));
  expect(named.map(({ name }) => name)).toEqual(["out_00001_.png", "2-out_00001_.png", flat("odd")]);
});

test("the kind of an output follows its bytes' type, not ComfyUI's key", () => {
  expect(outputType("video/mp4", "a.mp4")).toBe("video");
  expect(outputType("image/webp", "a.webp")).toBe("image");
  expect(outputType("model/gltf-binary", "a.glb")).toBe("3d");
  expect(outputType("application/octet-stream", "a.latent")).toBe("latent");
  expect(outputType("application/zip", "a.zip")).toBe("file");
});

test("files of one job never share a name, however long the names are", () => {
  const long = {
    key: "images",
    index: 0,
    type: "output",
    filename: `${"f".repeat(180)}.png`,
    subfolder: "d".repeat(180),
  } as const;
  const short = { ...long, filename: "a.png", subfolder: "" };
  const files = ["1", "2", "3"].flatMap((node_id) => [
    { ...long, node_id },
    { ...short, node_id },
  ]);
  const names = nameFiles(files).map(({ name }) => name);
  expect(new Set(names).size).toBe(files.length);
  expect(names.every((name) => Buffer.byteLength(name) <= 255)).toBe(true);
  expect(names[1]).toBe("a.png");
});
