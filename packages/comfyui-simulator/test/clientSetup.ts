import { randomUUID } from "node:crypto";
import {
  type ComfyEvent,
  type ComfyUi,
  type ConnectOptions,
  connectComfyUi,
  type Rendered,
  type WatchOptions,
} from "@comfyq/comfyui";
import { onTestFinished } from "vitest";
import type { Simulator, SimulatorOptions } from "../src/index.ts";
import { eventually, picture, start } from "./setup.ts";

/** A signal that nobody aborts. */
export const never = new AbortController().signal;

/** A graph in API format, as our client takes it. */
export type Workflow = Parameters<ComfyUi["submit"]>[0]["workflow"];

/** A simulator, our own client of it, and what the client has told. */
export interface Pair {
  readonly simulator: Simulator;
  readonly comfyui: ComfyUi;
  readonly events: ComfyEvent[];
}

/** Starts both. The client polls often, so that a test need not wait for what a socket would have told. */
export async function pair(options: SimulatorOptions = {}, connect: Partial<ConnectOptions> = {}): Promise<Pair> {
  const simulator = await start(options);
  const events: ComfyEvent[] = [];
  const onEvent = (event: ComfyEvent) => events.push(event);
  const comfyui = connectComfyUi({ url: simulator.url, pollMs: 20, heartbeatMs: 100, onEvent, ...connect });
  onTestFinished(() => comfyui.close());
  return { simulator, comfyui, events };
}

/** Submits a picture (or another graph) and waits for its end. */
export async function render(
  { comfyui }: Pair,
  options: { readonly workflow?: Workflow; readonly watch?: Partial<WatchOptions> } = {},
): Promise<Rendered> {
  const { promptId } = await comfyui.submit({ promptId: randomUUID(), workflow: options.workflow ?? graph(picture()) });
  return comfyui.watch(promptId, { signal: never, stallMs: 0, ...options.watch });
}

/** The graphs of `setup.ts` are valid ones. */
export const graph = (nodes: Record<string, unknown>): Workflow => nodes as Workflow;

/** How often each prompt was executed. */
export const executions = ({ simulator }: Pair) => simulator.stats().prompts.map(({ started }) => started);

/** A minute of work, of which frames tell; `0` steps: of which nobody hears. */
export const sleeping = (steps = 600): Workflow => ({
  "1": { class_type: "SimSleep", inputs: { ms: 60_000, steps } },
  "2": { class_type: "PreviewAny", inputs: { source: ["1", 0] } },
});

/** A picture that is saved, beside other nodes. */
export const saving: Workflow = {
  "3": { class_type: "SimPicture", inputs: { text: "a red fox", seed: 1, width: 64, height: 64 } },
  "4": { class_type: "SaveImage", inputs: { images: ["3", 0], filename_prefix: "ComfyUI" } },
};

/** Waits until the first prompt is at work. */
export async function untilRunning({ simulator }: Pair): Promise<void> {
  await eventually(simulator.stats, ({ prompts }) => (prompts[0]?.busyMs ?? 0) > 0);
}
