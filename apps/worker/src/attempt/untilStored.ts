import { monotonicMs, sleep } from "@comfyq/runtime";
import { StorageError } from "@comfyq/storage";
import { JobError } from "../jobError.ts";
import type { Tools } from "../tools.ts";
import type { AttemptRun } from "./attempt.ts";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;

/**
 * Tries one storage step again while the store is only away: finished work is worth minutes of patience, and another
 * render is not (promise I12). Stops at once when the job is no longer ours.
 * @throws JobError `output_push_failed` when patience runs out, or at once for faults that waiting does not mend
 */
export async function untilStored<T>(run: AttemptRun, tools: Tools, step: () => Promise<T>): Promise<T> {
  const patienceMs = tools.config.COMFYQ_STORE_PATIENCE_S * 1_000;
  const startedAtMs = monotonicMs();
  for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)) {
    try {
      return await step();
    } catch (error) {
      if (!(error instanceof StorageError) || run.signal.aborted) throw error;
      if (!error.retryable || monotonicMs() - startedAtMs > patienceMs)
        throw new JobError("output_push_failed", `An output could not be stored: ${error.message}`, { cause: error });
      tools.log.warn({ jobId: run.job.id, code: error.code, waitMs }, "storage failed, trying again");
      await sleep(waitMs, run.signal);
    }
  }
}
