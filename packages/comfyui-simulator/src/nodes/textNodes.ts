import { pythonStr } from "@comfyq/comfyui/wire";
import { boolean, combo, float, int, link, string } from "./declare.ts";
import type { NodeClass } from "./NodeClass.ts";
import { describeValue, textOf } from "./values.ts";

const text = (name: string, inputs: NodeClass["inputs"], run: NodeClass["run"]): NodeClass => ({
  name,
  category: "utils/primitive",
  pythonModule: "comfy_extras.nodes_primitive",
  inputs,
  outputs: ["STRING"],
  run,
});

const value = (inputs: Readonly<Record<string, unknown>>): { outputs: unknown[] } => ({ outputs: [inputs["value"]] });

/** Constants and texts (comfy_extras/nodes_primitive.py, nodes_string.py, nodes_preview_any.py). */
export const TEXT_NODES: readonly NodeClass[] = [
  text("PrimitiveString", () => ({ required: { value: string() } }), value),
  text("PrimitiveStringMultiline", () => ({ required: { value: string("", { multiline: true }) } }), value),
  {
    ...text("PrimitiveInt", () => ({ required: { value: int(0, { min: -(2 ** 53), max: 2 ** 53 }) } }), value),
    outputs: ["INT"],
  },
  { ...text("PrimitiveFloat", () => ({ required: { value: float(0) } }), value), outputs: ["FLOAT"] },
  { ...text("PrimitiveBoolean", () => ({ required: { value: boolean(false) } }), value), outputs: ["BOOLEAN"] },
  {
    ...text(
      "StringConcatenate",
      () => ({
        required: {
          string_a: string("", { multiline: true }),
          string_b: string("", { multiline: true }),
          delimiter: string(),
        },
      }),
      ({ string_a, string_b, delimiter }) => ({ outputs: [[string_a, string_b].map(textOf).join(textOf(delimiter))] }),
    ),
    category: "utils/string",
    pythonModule: "comfy_extras.nodes_string",
  },
  {
    name: "PreviewAny",
    displayName: "Preview Any",
    category: "utils",
    pythonModule: "comfy_extras.nodes_preview_any",
    inputs: () => ({ required: { source: link("*") } }),
    outputs: [],
    isOutput: true,
    run: ({ source }) => ({ ui: { text: [pythonStr(describeValue(source))] } }),
  },
  {
    name: "SaveText",
    displayName: "Save Text",
    category: "utils",
    pythonModule: "comfy_extras.nodes_text",
    inputs: () => ({
      required: {
        text: string("", { multiline: true }),
        filename_prefix: string("ComfyUI"),
        format: combo(["txt", "md", "json"]),
      },
    }),
    outputs: [],
    isOutput: true,
    run: async ({ text: content, filename_prefix, format }, { files }) => {
      const request = { prefix: textOf(filename_prefix), type: "output", extension: `.${textOf(format)}` } as const;
      const saved = await files.save(request, [Buffer.from(textOf(content))]);
      return { ui: { text: [textOf(content)], files: saved } };
    },
  },
];
