import type { ComfyUi, SeenPrompt } from "@comfyq/comfyui";
import { markOf } from "../instance/mark.ts";
import { jobFolderOf } from "./filenamePrefix.ts";

/** A prompt by what was sent: its job, its epoch, and the id that was asked for. */
export interface SentPrompt {
  readonly jobId: string;
  readonly epoch: number;
  readonly promptId: string;
}

/**
 * The id under which a cloud has a prompt. It may give ids of its own: who died before the answer was noted, or never got it, left
 * only the marks in what was sent.
 * @returns the id that was asked for when the cloud has it, or has nothing that bears the marks
 * @throws ComfyError when it cannot be asked; the signal's reason
 */
export async function realPromptId(comfyui: ComfyUi, sent: SentPrompt, signal: AbortSignal): Promise<string> {
  const { kind } = await comfyui.find(sent.promptId, { signal });
  if (kind !== "unknown") return sent.promptId;
  return (await comfyui.seek((prompt) => bearsMarks(prompt, sent), { signal })) ?? sent.promptId;
}

/** It waits or runs with the attempt's own folder in its graph, or has ended with the attempt in its extra data. */
function bearsMarks({ workflow, extraData }: SeenPrompt, { jobId, epoch }: SentPrompt): boolean {
  const mark = markOf(extraData);
  if (mark !== undefined && mark !== "canary") return mark.job_id === jobId && mark.epoch === epoch;
  return JSON.stringify(workflow).includes(`"${jobFolderOf({ id: jobId, epoch })}`);
}
