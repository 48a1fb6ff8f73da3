import type { ComfyUi } from "@comfyq/comfyui";
import type { Standing } from "@comfyq/queue";
import { isBroken } from "@comfyq/runtime";
import { markOf } from "./mark.ts";

/** Enough for what a dead worker or a lost lock can leave; every entry comes with its graph. */
const NEWEST = 64;

interface TidyOptions {
  readonly comfyui: ComfyUi;
  readonly isHeld: (jobId: string) => boolean;
  readonly standing: (jobId: string) => Promise<Standing>;
  readonly signal: AbortSignal;
}

/**
 * Takes prompts of ours out of the instance's history that their attempts could not: their worker died, or lost its lock,
 * or ComfyUI did not hear. Those of jobs that go on stay, for somebody may go on from them.
 * @returns true when there is nothing of ours left but what this worker holds
 */
export async function tidyHistory({ comfyui, isHeld, standing, signal }: TidyOptions): Promise<boolean> {
  if (isBroken("no_forget")) return true; // for a test: it stays
  const finished = await comfyui.finished(NEWEST, { signal });
  const left = finished.flatMap(({ promptId, extraData }) => {
    const mark = markOf(extraData);
    return mark === undefined || (mark !== "canary" && isHeld(mark.job_id)) ? [] : [{ promptId, mark }];
  });
  let isTidy = true;
  for (const { promptId, mark } of left) {
    const { kind } = mark === "canary" ? { kind: "ended" } : await standing(mark.job_id);
    if (kind === "ended" || kind === "unknown") await comfyui.forget(promptId);
    else isTidy = false;
  }
  return isTidy;
}
