/** setTimeout's own limit: a longer wait would fire at once, so long waits are made of several. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** The moment now, in Unix milliseconds. It may jump when the machine's clock is set: for spans use `monotonicMs`. */
export function nowMs(): number {
  return Date.now();
}

/** Milliseconds since this process started; never goes backwards, counts fractions. Only differences mean anything. */
export function monotonicMs(): number {
  return performance.now();
}

/**
 * Calls `fire` once after `ms` (0 or less: on the next turn; `Infinity`: never).
 * @returns a function that takes it back
 */
function after(ms: number, fire: () => void, keepAlive: boolean): () => void {
  let timer: NodeJS.Timeout;
  const arm = (leftMs: number): void => {
    const stepMs = Math.min(leftMs, LONGEST_TIMER_MS);
    timer = setTimeout(() => (leftMs > stepMs ? arm(leftMs - stepMs) : fire()), stepMs);
    if (!keepAlive) timer.unref();
  };
  arm(Math.max(0, ms));
  return () => clearTimeout(timer);
}

function wait(ms: number, signal: AbortSignal | undefined, keepAlive: boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = (): void => {
      takeBack();
      reject(signal?.reason);
    };
    const takeBack = after(
      ms,
      () => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      },
      keepAlive,
    );
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/**
 * Waits `ms`; keeps the process alive meanwhile. Leaves no listener on the signal.
 * @throws the signal's reason when aborted, also when it was aborted before
 */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return wait(ms, signal, true);
}

/**
 * A signal that aborts when `signal` does (same reason) or after `ms`, whichever is first.
 * Puts no listener on `signal`, so a long-lived one may be narrowed any number of times; the timer never keeps the
 * process alive.
 * @param reason what the deadline aborts with; left out: a `TimeoutError` (DOMException), as AbortSignal.timeout gives
 */
export function withDeadline(signal: AbortSignal | undefined, ms: number, reason?: unknown): AbortSignal {
  const deadline = new AbortController();
  const late = (): void =>
    deadline.abort(reason ?? new DOMException(`The deadline of ${ms} ms has passed`, "TimeoutError"));
  // The timer holds the controller: AbortSignal.any() itself holds its sources weakly, and would lose the deadline.
  after(ms, late, false);
  return signal ? AbortSignal.any([signal, deadline.signal]) : deadline.signal;
}

/** A timer that starts anew on `restart` and never rings after `stop`. */
export interface Alarm {
  restart(): void;
  stop(): void;
}

/** Rings once nothing has restarted it for `ms` (at most 24 days). Cheap to restart, thousands of times a second. */
export function alarm(ms: number, ring: () => void): Alarm {
  const timer = setTimeout(ring, Math.min(ms, LONGEST_TIMER_MS));
  return { restart: () => timer.refresh(), stop: () => clearTimeout(timer) };
}

/** How `every` ends and whom it tells. */
export interface EveryOptions {
  /** Ends the loop; a run in progress sees it too. */
  readonly signal: AbortSignal;
  /** Gets what a run threw; the loop goes on. Not called for what a run throws because it was aborted. */
  readonly onError: (error: unknown) => void;
  /** True: the waits between runs do not keep the process alive. Default false. */
  readonly unref?: boolean;
}

/**
 * Runs `fn` now, waits `ms` after it ended, runs it again, until aborted. Runs never overlap.
 * @returns a promise that resolves (never rejects) when the signal is aborted and the last run has ended
 */
export async function every(
  ms: number,
  fn: (signal: AbortSignal) => unknown,
  { signal, onError, unref = false }: EveryOptions,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await fn(signal);
    } catch (error) {
      if (!signal.aborted) onError(error);
    }
    await wait(ms, signal, !unref).catch(() => undefined); // only an abort rejects, and the loop's condition sees it
  }
}
