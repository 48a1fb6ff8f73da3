import { type Logger, monotonicMs, sleep } from "@comfyq/runtime";
import { type AttemptRun, assertOurs } from "./attempt.ts";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;

interface Patience<T> {
  /** What is done, for the log. */
  readonly what: string;
  readonly patienceMs: number;
  /** Is it worth another try by and by? */
  readonly mayPass: (error: unknown) => boolean;
  readonly step: () => Promise<T>;
}

/**
 * Tries one step again while what it needs is only away. Before every try it makes sure that the job is still ours.
 * @throws what the step threw, when patience runs out or waiting does not help; the signal's reason
 */
export async function patiently<T>(
  run: AttemptRun,
  log: Logger,
  { what, patienceMs, mayPass, step }: Patience<T>,
): Promise<T> {
  const startedAtMs = monotonicMs();
  for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)) {
    assertOurs(run);
    try {
      return await step();
    } catch (error) {
      run.signal.throwIfAborted();
      if (!mayPass(error) || monotonicMs() - startedAtMs > patienceMs) throw error;
      log.warn({ jobId: run.job.id, what, cause: error, waitMs }, "a step failed, trying again");
      await sleep(waitMs, run.signal);
    }
  }
}
