import { expect, test } from "vitest";
import { filenamePrefixes, resultText, type SourceHashes, type Workflow } from "../src/index.ts";

const A = "a".repeat(64);
const B = "b".repeat(64);
const NONE: SourceHashes = { inputs: {}, files: {} };

const graph = (more: Partial<Workflow> = {}): Workflow => ({
  "1": { class_type: "LoadImage", inputs: { image: "x.png" } },
  "2": { class_type: "SaveImage", inputs: { images: ["1", 0], filename_prefix: "one" }, _meta: { title: "Save" } },
  ...more,
});

test("what does not change a result does not tell two jobs apart: titles, order, names of saved files, where an input is", () => {
  const other: Workflow = {
    "2": { _meta: { title: "Other" }, inputs: { filename_prefix: "two", images: ["1", 0] }, class_type: "SaveImage" },
    "1": { inputs: { image: "x.png" }, class_type: "LoadImage" },
  };
  expect(resultText({ workflow: other }, NONE)).toBe(resultText({ workflow: graph() }, NONE));
  const hashes = { inputs: { "1.inputs.image": A }, files: {} };
  const overwritten = graph({ "1": { class_type: "LoadImage", inputs: { image: "never seen.png" } } });
  expect(resultText({ workflow: overwritten }, hashes)).toBe(resultText({ workflow: graph() }, hashes));
});

test("what changes a result tells two jobs apart: values, node ids, classes, bytes of inputs, a link as a prefix, and what is done to files; not where files go", () => {
  const jobs: readonly (readonly [Workflow, SourceHashes])[] = [
    [graph(), NONE],
    [graph({ "1": { class_type: "LoadImage", inputs: { image: "y.png" } } }), NONE],
    [graph({ "1": { class_type: "LoadImageMask", inputs: { image: "x.png" } } }), NONE],
    [graph({ "3": { class_type: "PreviewAny", inputs: {} } }), NONE],
    [graph({ "2": { class_type: "SaveImage", inputs: { images: ["1", 0], filename_prefix: ["1", 1] } } }), NONE],
    [graph(), { inputs: { "1.inputs.image": A }, files: {} }],
    [graph(), { inputs: { "1.inputs.image": B }, files: {} }],
    [graph(), { inputs: {}, files: { "/input/x.png": A } }],
  ];
  const converted = { workflow: graph(), output: { convert: { format: "webp", quality: 85 } } } as const;
  expect(resultText(converted, NONE)).not.toBe(resultText({ workflow: graph() }, NONE));
  expect(resultText({ ...converted, output: { prefix: "mine", inline: true } }, NONE)).toBe(
    resultText({ workflow: graph() }, NONE),
  );
  expect(new Set(jobs.map(([workflow, hashes]) => resultText({ workflow }, hashes))).size).toBe(jobs.length);
});

test("the prefixes of a graph are found by node", () => {
  expect(filenamePrefixes(graph())).toEqual({ "2": "one" });
});
