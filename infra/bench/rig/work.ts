import type { Workflow } from "../../../packages/contract/src/index.ts";
import type { Rig } from "./rig.ts";

/** What one job of a benchmark moves. */
export interface Load {
  /** Of one unique file by URL; 0: the job has none. */
  readonly inputBytes: number;
  readonly outputBytes: number;
  readonly outputs?: number;
}

/** Jobs of one benchmark never repeat a graph, so that ComfyUI's cache answers none of them. */
let made = 0;

/** One job: its input loaded, its outputs made; how long that takes is the simulator's `--exec-ms`. */
export function bodyOf({ inputs, receiver }: Rig, { inputBytes, outputBytes, outputs = 1 }: Load) {
  made += 1;
  const save = { bytes: outputBytes, seed: made, count: outputs, filename_prefix: "bench" };
  const workflow: Workflow = {
    ...(inputBytes > 0 && { "1": { class_type: "LoadImage", inputs: { image: "input.png" } } }),
    "2": { class_type: "SimOutput", inputs: { ...save, ...(inputBytes > 0 && { input: ["1", 0] }) } },
  };
  return {
    workflow,
    ...(inputBytes > 0 && { inputs: { "1.inputs.image": inputs.file(made, inputBytes) } }),
    webhook: { url: receiver.url },
  };
}

/** Submits so many jobs, a few at a time. @returns their ids, in order */
export async function submitMany(rig: Rig, count: number, load: Load): Promise<readonly string[]> {
  const ids: string[] = [];
  for (let at = 0; at < count; at += 1) ids.push((await rig.system.submit(bodyOf(rig, load))).id);
  return ids;
}
