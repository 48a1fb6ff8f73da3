import type { ComfyUi } from "@comfyq/comfyui";
import { type JobFailure, jobFailure, type StopReport } from "@comfyq/contract";
import type { Tools } from "../tools.ts";
import type { AttemptRun } from "./attempt.ts";
import { stopPrompt } from "./stopPrompt.ts";
import { toJobError } from "./toJobError.ts";

/**
 * What to empty before the next try. Another filename prefix makes ComfyUI run a save node anew; what saves without one is
 * answered from its cache for as long as that remembers, with names of files that may be gone.
 */
const TO_FREE: Readonly<Partial<Record<JobFailure["code"], Parameters<ComfyUi["free"]>[0]>>> = {
  out_of_gpu_memory: { unloadModels: true, freeMemory: true },
  output_missing: { freeMemory: true },
};

/**
 * Leaves the instance fit for the next job, and says what the failure was: models out after out of memory, no prompt of
 * ours behind after a stall or a half-refused graph, and after a stall a canary, which tells whose fault it was. A prompt
 * whose ComfyUI is away is found when that comes back.
 */
export async function judgeFailure(run: AttemptRun, tools: Tools, error: unknown): Promise<JobFailure> {
  const failure = toJobError(error);
  if (failure.code === "internal") tools.log.error({ jobId: run.job.id, cause: error }, "attempt failed unexpectedly");
  const toFree = TO_FREE[failure.code];
  if (toFree)
    await tools.comfyui.free(toFree).catch((cause: unknown) => {
      tools.log.warn({ jobId: run.job.id, cause }, "memory could not be freed");
    });
  if (!run.mayRun || failure.code === "comfyui_unreachable" || failure.code === "instance_refuses") return failure;
  const stop = await stopPrompt(run, 0, tools);
  await run.job.journal({ stop }).catch(() => {}); // the lock is lost: the next holder writes its own page
  return failure.code === "stalled" ? whoStalled(run, tools, { stop, failure }) : failure;
}

interface Stall {
  readonly stop: StopReport;
  readonly failure: JobFailure;
}

/** A ComfyUI that still runs a canary is healthy, and the workflow is to blame. */
async function whoStalled(run: AttemptRun, tools: Tools, { stop, failure }: Stall): Promise<JobFailure> {
  const letGo = stop.stop_ms !== null && stop.escalation !== "restart";
  if (letGo && (await isBusy(run, tools))) return failure.node_id === undefined ? crowdedOut(run, failure) : failure;
  const why = letGo
    ? await tools.instance.flyCanary(run.leaving).catch(() => undefined) // leaving: nobody will ever know
    : "It did not let go of this prompt when it was interrupted";
  if (why === undefined) return failure;
  const message = `ComfyUI answers, but runs nothing. ${failure.message} ${why}; look at its log and restart it`;
  return jobFailure("comfyui_zombie", message, { nodeId: failure.node_id, classType: failure.class_type });
}

/** Ours is stopped: whatever runs there now is somebody else's, and shows that the instance runs. */
async function isBusy({ leaving }: AttemptRun, { comfyui }: Tools): Promise<boolean> {
  return comfyui.queue({ signal: leaving }).then(
    ({ running }) => running.length > 0,
    () => false, // the canary will tell
  );
}

/** It was never begun: somebody else's prompts kept it waiting. */
async function crowdedOut({ job }: AttemptRun, { message }: JobFailure): Promise<JobFailure> {
  await job.journal({ stage: "preparing" }).catch(() => {}); // ComfyUI cannot have died of it
  return jobFailure("comfyui_unreachable", `ComfyUI is busy with prompts that are not comfyq's. ${message}`);
}
