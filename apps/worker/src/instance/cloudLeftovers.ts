import type { ComfyUi, QueuedPrompt } from "@comfyq/comfyui";
import type { Standing } from "@comfyq/queue";
import { noteHistory } from "@comfyq/runtime";
import { jobFolderIn } from "../attempt/filenamePrefix.ts";

/** How long a leftover is told to stop, before it is looked at again. */
const STOP_MS = 2_000;

interface CloudOptions {
  readonly comfyui: ComfyUi;
  readonly instance: string;
  readonly standing: (jobId: string) => Promise<Standing>;
  readonly signal: AbortSignal;
}

/**
 * Stops prompts in a cloud's queue whose jobs have ended: one that could not be reached when it had to stop, say. All others are
 * somebody's: other workers use the cloud, and other installations may, whose jobs nobody here knows. They stand in nobody's way.
 */
export async function stopEnded({ comfyui, instance, standing, signal }: CloudOptions): Promise<void> {
  const { running, pending } = await comfyui.queue({ signal });
  for (const { promptId, workflow } of [...running, ...pending]) {
    const mark = markIn(workflow);
    if (mark === undefined || (await standing(mark.jobId)).kind !== "ended") continue;
    const { stopped, stopMs } = await comfyui.cancel(promptId, { deadlineMs: STOP_MS, signal });
    if (!stopped) continue;
    noteHistory("stopped", {
      job: mark.jobId,
      epoch: mark.epoch,
      prompt: promptId,
      instance,
      stop_ms: Math.round(stopMs),
    });
  }
}

/** A cloud's queue does not show what came with a prompt; its graph has the folder of its attempt. */
function markIn(workflow: QueuedPrompt["workflow"]) {
  const prefixes = Object.values(workflow).map(({ inputs }) => inputs?.["filename_prefix"]);
  return prefixes.map((prefix) => (typeof prefix === "string" ? jobFolderIn(prefix) : undefined)).find(Boolean);
}
