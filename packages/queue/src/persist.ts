import { after, sleep } from "./clock.ts";
import { isOurMistake, QueueError } from "./errors.ts";

const AGAIN_AFTER_MS = 250;

/**
 * Repeats a step until it has worked, for as long as the signal allows: Redis may be away, full, read-only or loading, and a
 * command sent to a Redis that is away waits for ever by itself. The step may have worked without an answer, so it must bear
 * being repeated.
 * @throws the signal's reason, at once; a mistake of ours, which repeating does not mend
 */
export async function persist<T>(signal: AbortSignal, step: () => Promise<T>): Promise<T> {
  for (;;) {
    signal.throwIfAborted();
    try {
      return await orAborted(signal, step());
    } catch (error) {
      signal.throwIfAborted();
      if (isOurMistake(error)) throw error;
      await sleep(AGAIN_AFTER_MS, signal);
    }
  }
}

/**
 * Asks now what is wanted a moment later, so that two answers are waited for at once. The first call gets the answer to that; each
 * later one asks again.
 */
export function askedEarly<T>(ask: () => Promise<T>): () => Promise<T> {
  let early: Promise<T> | undefined = ask();
  early.catch(() => {}); // for whoever calls
  return () => {
    const answer = early ?? ask();
    early = undefined;
    return answer;
  };
}

/** @throws the signal's reason as soon as it aborts; the work goes on unheard */
export function orAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}

/** @throws QueueError `unavailable` after `ms` without an answer; the work goes on unheard */
export async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  const overdue = new AbortController();
  const stopTimer = after(ms, () =>
    overdue.abort(new QueueError("unavailable", `Redis did not answer within ${Math.round(ms)} ms; is it running?`)),
  );
  try {
    return await orAborted(overdue.signal, work);
  } finally {
    stopTimer();
  }
}
