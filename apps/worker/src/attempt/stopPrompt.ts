import { isComfyError } from "@comfyq/comfyui";
import { JobError } from "../jobError.ts";
import type { Tools } from "../tools.ts";
import type { AttemptRun } from "./attempt.ts";

/** Interrupts our prompt and waits until it is gone. @returns what to say when it would not stop */
export async function stopPrompt(run: AttemptRun, tools: Tools): Promise<string | undefined> {
  const { promptId } = run;
  if (promptId === undefined) return undefined;
  const withinS = tools.config.COMFYQ_CANCEL_S;
  try {
    const { stopped, stuckNode } = await tools.comfyui.cancel(promptId, { deadlineMs: withinS * 1_000 });
    if (stopped) return undefined;
    const node = stuckNode ? `node ${stuckNode.node_id} (${stuckNode.class_type ?? "unknown class"})` : "a node";
    return `ComfyUI did not stop within ${withinS} s: ${node} ignores interrupts; restart that ComfyUI`;
  } catch (cause) {
    tools.log.warn({ jobId: run.job.id, promptId, cause }, "prompt could not be stopped");
    return "ComfyUI could not be reached to stop it";
  }
}

/**
 * Leaves the instance fit for the next job: models out after out of memory, and no prompt of ours behind after a stall or a
 * half-refused graph. A prompt whose instance is away is found by the next attempt's journal instead.
 */
export async function tidyInstance(run: AttemptRun, tools: Tools, error: unknown): Promise<void> {
  if (isComfyError(error, "out_of_memory"))
    await tools.comfyui.free({ unloadModels: true, freeMemory: true }).catch((cause: unknown) => {
      tools.log.warn({ jobId: run.job.id, cause }, "memory could not be freed");
    });
  const mayStillRun = isComfyError(error, "stalled") || (error instanceof JobError && run.times.renderMs === 0);
  if (mayStillRun) await stopPrompt(run, tools);
}
