import type { OverheardFrame } from "@comfyq/comfyui";
import { decodeBinaryFrame, encodeBinaryFrame } from "@comfyq/comfyui/wire";
import type { HeldJob } from "@comfyq/queue";
import type { Tools } from "../tools.ts";
import type { AttemptRun } from "./attempt.ts";
import { showText } from "./showPrompt.ts";

/** Frames of which only the newest matters. */
const MOMENTS: readonly string[] = ["progress", "progress_state"];

/**
 * Shows the prompt's frames to the websockets of its client, from the first one on, until `run.stopRelay`. Does nothing for a job
 * that came in another way. The end of the prompt is not told from here: it is one when the job has ended.
 */
export function relayFrames(run: AttemptRun, promptId: string, { comfyui }: Tools): void {
  const { relay } = run.job;
  if (!relay) return;
  run.stopRelay?.();
  run.stopRelay = comfyui.overhear(promptId, (frame) => {
    if (!run.job.isOurs() || isEnd(frame)) return;
    if (frame instanceof Uint8Array) return relay.frame(renamed(frame, promptId, run.job.id), "moment");
    if (frame.type === "execution_start") relay.started();
    const text = showText(run, { type: frame.type, data: frame.data }, promptId);
    relay.frame(text, MOMENTS.includes(frame.type) ? "moment" : "lasting");
  });
}

function isEnd(frame: OverheardFrame): boolean {
  if (frame instanceof Uint8Array || frame.type !== "executing") return false;
  return (frame.data as { node: unknown }).node === null; // as KnownTextFrame has it
}

/** A preview names its prompt too. */
function renamed(bytes: Uint8Array, promptId: string, jobId: HeldJob["id"]): Uint8Array {
  const frame = decodeBinaryFrame(bytes);
  if (frame.kind !== "preview_with_metadata" || frame.metadata.prompt_id !== promptId) return bytes;
  return encodeBinaryFrame({ ...frame, metadata: { ...frame.metadata, prompt_id: jobId } });
}
