import { type Logger, monotonicMs, sleep } from "@comfyq/runtime";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;

/** For which job something is done, and until when. */
export interface Patient {
  readonly jobId: string;
  readonly signal: AbortSignal;
  /** Asked before every try. @throws when nothing more may be done for this job */
  readonly check: () => void;
}

interface Patience<T> {
  /** What is done, for the log. */
  readonly what: string;
  readonly patienceMs: number;
  /** Is it worth another try by and by? */
  readonly mayPass: (error: unknown) => boolean;
  readonly step: () => Promise<T>;
  /** Told what went wrong before every wait. */
  readonly onTrouble?: (error: unknown) => void;
}

/**
 * Tries one step again while what it needs is only away. Before every try it makes sure that it may still be done.
 * @throws what the step threw, when patience runs out or waiting does not help; what `check` threw; the signal's reason
 */
export async function patiently<T>(
  { jobId, signal, check }: Patient,
  log: Logger,
  { what, patienceMs, mayPass, step, onTrouble }: Patience<T>,
): Promise<T> {
  const startedAtMs = monotonicMs();
  for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)) {
    check();
    try {
      return await step();
    } catch (error) {
      signal.throwIfAborted();
      if (!mayPass(error) || monotonicMs() - startedAtMs > patienceMs) throw error;
      log.warn({ jobId, what, cause: error, waitMs }, "a step failed, trying again");
      onTrouble?.(error);
      await sleep(waitMs, signal);
    }
  }
}
