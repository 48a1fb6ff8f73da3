import type { ComfyUi } from "@comfyq/comfyui";
import type { Standing } from "@comfyq/queue";
import { isBroken } from "@comfyq/runtime";
import type { WorkerConfig } from "../config.ts";
import { stopEnded } from "./cloudLeftovers.ts";
import { markOf } from "./mark.ts";

/** Enough for what a dead worker or a lost lock can leave; every entry comes with its graph. */
const NEWEST = 64;

interface TidyOptions {
  readonly comfyui: ComfyUi;
  readonly config: Pick<WorkerConfig, "isCloud" | "instanceName">;
  readonly isHeld: (jobId: string) => boolean;
  readonly standing: (jobId: string) => Promise<Standing>;
  readonly signal: AbortSignal;
}

/**
 * Takes prompts of ours out of the instance's history that their attempts could not: their worker died, or lost its lock,
 * or ComfyUI did not hear. Those of jobs that go on stay, for somebody may go on from them. The history of a cloud is left alone: it
 * may be other installations', too; but what runs there for a job that has ended is stopped.
 * @returns true when there is nothing of ours left
 */
export async function tidyHistory({ comfyui, config, isHeld, standing, signal }: TidyOptions): Promise<boolean> {
  if (isBroken("no_forget")) return true; // for a test: it stays
  if (config.isCloud) {
    await stopEnded({ comfyui, instance: config.instanceName, standing, signal });
    return false; // look again
  }
  const finished = await comfyui.finished(NEWEST, { signal });
  let isTidy = true;
  for (const { promptId, extraData } of finished) {
    const mark = markOf(extraData);
    if (mark === undefined) continue;
    const isOver = mark === "canary" || (!isHeld(mark.job_id) && isEnded(await standing(mark.job_id)));
    if (isOver) await comfyui.forget(promptId);
    else isTidy = false; // an earlier attempt's, perhaps, at a job that this worker holds again
  }
  return isTidy;
}

function isEnded({ kind }: Standing): boolean {
  return kind === "ended" || kind === "unknown";
}
