import { type InputDeclaration, PythonError } from "@comfyq/comfyui/wire";
import { outOfMemory } from "../engine/failures.ts";
import { noisyPng } from "../pictures/noisyPng.ts";
import { paintScene, paintSolid } from "../pictures/paint.ts";
import { boolean, combo, float, int, link, string } from "./declare.ts";
import { ExecutionBlocker, type NodeClass } from "./NodeClass.ts";
import { images, numberOf, textOf } from "./values.ts";

const ANYTHING: InputDeclaration = link("*");

/** A node of the simulator's own; what it takes as `input` it passes on. */
const own = (node: Pick<NodeClass, "name" | "description" | "inputs" | "run"> & Partial<NodeClass>): NodeClass => ({
  category: "simulator",
  pythonModule: "custom_nodes.comfyq_simulator",
  outputs: ["*"],
  ...node,
});

const BROKEN = { optional: { input: ANYTHING } } as const;

/** Nodes that do on demand what real ones do by accident. */
export const SIMULATOR_NODES: readonly NodeClass[] = [
  own({
    name: "SimSleep",
    description: "Takes time. With steps it shows progress and can be interrupted; without it cannot.",
    inputs: () => ({
      required: { ms: float(1000, { min: 0, max: 86_400_000 }), steps: int(0, { min: 0, max: 10000 }) },
      optional: { input: ANYTHING, preview: boolean(false), value: string() },
    }),
    run: async ({ ms, steps, input, preview, value }, context) => {
      const count = numberOf(steps);
      const bar = context.progressBar(count);
      for (let step = 1; step <= count; step++) {
        await context.wait(numberOf(ms) / count);
        bar.update(step, preview === true ? paintSolid(64, 64, [(step * 40) % 256, 90, 160]) : undefined);
      }
      if (count === 0) await context.wait(numberOf(ms));
      return { outputs: [input ?? value ?? null] };
    },
  }),
  own({
    name: "SimAsync",
    description: "Takes time beside the other nodes of the prompt, and is not stopped by an interrupt.",
    isAsync: true,
    inputs: () => ({ required: { ms: float(1000, { min: 0, max: 86_400_000 }) }, ...BROKEN }),
    run: async ({ ms, input }, context) => {
      await context.wait(numberOf(ms));
      return { outputs: [input ?? null] };
    },
  }),
  own({
    name: "SimError",
    description: "Raises a Python exception.",
    inputs: () => ({ required: { type: string("ValueError"), message: string("simulated") }, ...BROKEN }),
    run: ({ type, message }) => {
      throw new PythonError(textOf(type), textOf(message));
    },
  }),
  own({
    name: "SimOom",
    description: "Runs out of GPU memory.",
    inputs: () => BROKEN,
    run: () => {
      throw outOfMemory();
    },
  }),
  own({
    name: "SimCudaFault",
    description: "Breaks the CUDA context: this prompt and every later one fail until the server is restarted.",
    inputs: () => BROKEN,
    run: (_, context) => context.breakCuda(),
  }),
  own({
    name: "SimCrash",
    description: "Ends the process at once.",
    inputs: () => BROKEN,
    run: (_, context) => context.crash(),
  }),
  own({
    name: "SimZombie",
    description: "Ends the worker thread: the server goes on answering, and nothing runs any more.",
    inputs: () => BROKEN,
    run: (_, context) => context.killWorker(),
  }),
  own({
    name: "SimBlocker",
    description: "Keeps what depends on it from running, with or without a message.",
    inputs: () => ({ required: { message: string() }, ...BROKEN }),
    run: ({ message }) => ({ outputs: [new ExecutionBlocker(textOf(message) || undefined)] }),
  }),
  own({
    name: "SimExpand",
    description: "Brings nodes of its own, which run in its place.",
    inputs: () => ({ required: { ms: float(0, { min: 0 }), count: int(1, { min: 1, max: 100 }) }, ...BROKEN }),
    run: ({ ms, count, input }) => {
      const ids = Array.from({ length: numberOf(count) }, (_, index) => String(index + 1));
      const nodes = ids.map((id, index) => {
        const from = index === 0 ? (input ?? null) : [ids[index - 1], 0];
        return [id, { class_type: "SimSleep", inputs: { ms, steps: 0, input: from } }] as const;
      });
      return { expand: Object.fromEntries(nodes), outputs: [[ids.at(-1), 0]] };
    },
  }),
  own({
    name: "SimLazy",
    description: "Takes one of two inputs, and lets only that one run.",
    inputs: () => ({
      required: { choice: combo(["a", "b"]) },
      optional: { a: link("*", { lazy: true }), b: link("*", { lazy: true }) },
    }),
    neededInputs: ({ choice }) => [textOf(choice)],
    run: (inputs) => ({ outputs: [inputs[textOf(inputs["choice"])] ?? null] }),
  }),
  own({
    name: "SimNaN",
    description: "Runs every time, and shows a number that is none: Python writes it as a bare NaN.",
    isOutput: true,
    fingerprint: () => undefined,
    inputs: () => BROKEN,
    run: () => ({ ui: { value: [Number.NaN] } }),
  }),
  own({
    name: "SimOutput",
    description: "Writes PNG files of exactly so many bytes each, always the same ones for the same seed.",
    isOutput: true,
    inputs: () => ({
      required: {
        bytes: int(300_000, { min: 4096, max: 2_000_000_000 }),
        seed: int(0),
        filename_prefix: string("sim/ComfyUI"),
      },
      optional: {
        count: int(1, { min: 1, max: 1000 }),
        ms: float(0, { min: 0 }),
        input: ANYTHING,
      },
    }),
    run: async ({ bytes, seed, filename_prefix, count, ms, input }, context) => {
      await context.wait(numberOf(ms ?? 0));
      const contents = Array.from({ length: numberOf(count ?? 1) }, (_, index) =>
        noisyPng(numberOf(bytes), numberOf(seed) + index),
      );
      const request = { prefix: textOf(filename_prefix), type: "output", extension: ".png" } as const;
      return { ui: { images: await context.files.save(request, contents) }, outputs: [input ?? null] };
    },
  }),
  own({
    name: "SimPicture",
    description: "A picture of a text, without any model.",
    outputs: ["IMAGE"],
    inputs: () => ({
      required: {
        text: string("a picture", { multiline: true }),
        seed: int(0),
        width: int(512, { min: 16, max: 4096 }),
        height: int(512, { min: 16, max: 4096 }),
      },
    }),
    run: ({ text, seed, width, height }) => ({
      outputs: [
        images([
          paintScene({
            width: numberOf(width),
            height: numberOf(height),
            text: textOf(text),
            seed: numberOf(seed),
            caption: `seed ${textOf(seed)}`,
          }),
        ]),
      ],
    }),
  }),
];
