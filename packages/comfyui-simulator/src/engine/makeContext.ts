import { encodeJpeg } from "../pictures/encodeJpeg.ts";
import type { Picture } from "../pictures/Picture.ts";
import { WorkerDeath } from "./endings.ts";
import { cudaError } from "./failures.ts";
import type { NodeContext, ProgressBar } from "./NodeContext.ts";
import type { PromptRun } from "./PromptRun.ts";

/** What the running node gets to act with. */
export function makeContext(run: PromptRun, nodeId: string): NodeContext {
  const { life, prompt } = run;
  const { parts } = life;
  const time = new NodeTime((durationMs) => life.wait(durationMs));
  return {
    nodeId,
    graph: prompt.graph,
    extraData: { ...prompt.extraData, ...prompt.secrets },
    folders: parts.folders,
    files: life.files,
    previews: wantsPreviews(run),
    stepMs: parts.settings.stepMs,
    wait: (durationMs) => time.wait(durationMs),
    progressBar: (max) => makeProgressBar(run, nodeId, { max, time }),
    sendText: (text) => parts.frames.sendBinary({ kind: "text", nodeId, text }),
    sendImage: (image) => parts.frames.sendBinary({ kind: "preview", contentType: "image/png", image }, life.clientId),
    useModel: (name) => life.useModel(name),
    killWorker: () => {
      throw new WorkerDeath();
    },
    crash: () => life.crash(),
    breakCuda: () => {
      life.cudaIsBroken = true;
      throw cudaError();
    },
  };
}

function wantsPreviews({ life, prompt }: PromptRun): boolean {
  const method = life.parts.profile.obeysPreviewMethod ? prompt.extraData["preview_method"] : undefined;
  if (typeof method !== "string" || method === "default") return life.parts.settings.previews;
  return method !== "none";
}

/** Adds up what a node has waited, exactly: a timer's own imprecision must not decide which frames are sent. */
class NodeTime {
  readonly #wait: (durationMs: number) => Promise<void>;
  waitedMs = 0;

  constructor(wait: (durationMs: number) => Promise<void>) {
    this.#wait = wait;
  }

  async wait(durationMs: number): Promise<void> {
    await this.#wait(durationMs);
    this.waitedMs += durationMs;
  }
}

const LEAST_INTERVAL_MS = 100;
const LEAST_SHARE = 0.005;

/** Newer versions leave out frames that come too early or say too little, except the first, the last and previews. */
function makeProgressBar(run: PromptRun, nodeId: string, bar: { max: number; time: NodeTime }): ProgressBar {
  const { max, time } = bar;
  let last: { readonly value: number; readonly atMs: number } | undefined;
  return {
    update: (wanted, preview) => {
      run.life.checkInterrupt(run.occasionOf(nodeId));
      const value = Math.min(wanted, max);
      const isSoon =
        last !== undefined &&
        (time.waitedMs - last.atMs < LEAST_INTERVAL_MS || (value - last.value) / max < LEAST_SHARE);
      const isThrottled = run.life.parts.profile.throttlesProgress && isSoon && value < max && !preview;
      if (isThrottled) return;
      last = { value, atMs: time.waitedMs };
      tellProgress(run, nodeId, { value, max, preview });
    },
  };
}

interface Step {
  readonly value: number;
  readonly max: number;
  readonly preview: Picture | undefined;
}

/** The order of the frames depends on what the client understands (reference/comfyui-protocol.md §2.6). */
function tellProgress(run: PromptRun, nodeId: string, { value, max, preview }: Step): void {
  const { frames } = run.life.parts;
  const { clientId } = run.life;
  // Drawing is the only work here: it is not done for nobody.
  const image = preview && frames.hasListener(clientId) ? encodeJpeg(preview.raster()) : undefined;
  const knowsMetadata = image !== undefined && frames.knowsPreviewMetadata(clientId);
  run.progress.update(nodeId, value, max);
  run.tellProgressState();
  if (image && knowsMetadata) {
    const metadata = {
      node_id: nodeId,
      prompt_id: run.prompt.promptId,
      display_node_id: run.graph.displayIdOf(nodeId),
      parent_node_id: run.graph.parentOf(nodeId),
      real_node_id: run.graph.displayIdOf(nodeId),
      image_type: "image/jpeg",
    };
    frames.sendBinary({ kind: "preview_with_metadata", metadata, image }, clientId);
  }
  run.tellClientOrAll("progress", { value, max, prompt_id: run.prompt.promptId, node: nodeId });
  if (image && !knowsMetadata) frames.sendBinary({ kind: "preview", contentType: "image/jpeg", image }, clientId);
  run.reach("progress", nodeId);
}
