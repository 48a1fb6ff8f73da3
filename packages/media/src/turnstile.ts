/** Lets one piece of work at a time through, in the order of their coming. */
export interface Turnstile {
  /** @throws what the work throws; the signal's reason when it aborts before the work's turn has come */
  inTurn<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T>;
}

export function createTurnstile(): Turnstile {
  let last: Promise<unknown> = Promise.resolve();
  return {
    inTurn: (work, signal) => {
      const turn = last.then(() => {
        signal.throwIfAborted();
        return work();
      });
      last = turn.catch(() => {}); // told to whoever asked for it
      return turn;
    },
  };
}
