import { isComfyError } from "@comfyq/comfyui";
import { isBroken } from "@comfyq/runtime";
import { StorageError, type StorageErrorCode } from "@comfyq/storage";
import { JobError } from "../jobError.ts";
import { patiently } from "../patiently.ts";
import type { Tools } from "../tools.ts";
import { allNodesDone } from "./allNodesDone.ts";
import { type AttemptRun, patientOf } from "./attempt.ts";

/**
 * Tries one step of storing again while the store, or the ComfyUI that has the file, is only away: finished work is worth
 * minutes of patience, and another render is not (promise I12). Meanwhile the job's progress says what it waits for. Stops at
 * once when the job is no longer ours.
 * @throws JobError `output_push_failed` when patience with the store runs out, or at once for faults that waiting does not
 * mend; what ComfyUI failed with, after the same patience
 */
export async function untilStored<T>(run: AttemptRun, tools: Tools, step: () => Promise<T>): Promise<T> {
  let isTold = false;
  const stored = await untilWell(run, tools, {
    step,
    onTrouble: (error) => {
      isTold = true;
      run.job.report(allNodesDone(run.job, `${whatIsWrong(error)}; it is tried again`));
    },
  });
  if (isTold) run.job.report(allNodesDone(run.job));
  return stored;
}

interface Storing<T> {
  readonly step: () => Promise<T>;
  readonly onTrouble?: (error: unknown) => void;
}

/** The same, beside a render whose own progress is shown. */
export async function untilWell<T>(run: AttemptRun, tools: Tools, storing: Storing<T>): Promise<T> {
  // Broken for a test: no patience, and nobody goes on from the prompt, so that a blink of the store costs a render.
  const isHasty = isBroken("rerender_on_store_failure");
  const patienceMs = isHasty ? -1 : tools.config.COMFYQ_STORE_PATIENCE_S * 1_000;
  try {
    return await patiently(patientOf(run), tools.log, { what: "storing", patienceMs, mayPass, ...storing });
  } catch (error) {
    if (!(error instanceof StorageError) || run.signal.aborted) throw error;
    throw new JobError(isHasty ? "internal" : "output_push_failed", whatIsWrong(error), { cause: error });
  }
}

/** For the customer, whose job waits for it. */
function whatIsWrong(error: unknown): string {
  return error instanceof StorageError
    ? `The store cannot be used: ${error.message}`
    : "ComfyUI does not send its files";
}

const MENDABLE: readonly StorageErrorCode[] = ["forbidden", "bucket_missing", "not_configured"];

function mayPass(error: unknown): boolean {
  // A wrong key or a missing bucket is the operator's to mend, and as worth waiting for as a store that is away.
  if (error instanceof StorageError) return error.retryable || MENDABLE.includes(error.code);
  // A ComfyUI that restarts forgets its history, not its files; and what is to be fetched is known.
  return isComfyError(error, "unreachable", "busy", "protocol", "rate_limited");
}
