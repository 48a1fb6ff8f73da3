import { after } from "./clock.ts";

export interface Throttled<T> {
  /** Takes the newest value; it is sent now, or when the pause is over. Never throws. */
  push(value: T): void;
  /** Sends what still waits, and no more after. */
  flush(): Promise<void>;
  /** Forgets what still waits, and sends no more. */
  drop(): void;
}

/** Sends at most one value per `everyMs`, always the newest. A failed send is forgotten: the next value replaces it. */
export function throttle<T>(everyMs: number, send: (value: T) => Promise<void>): Throttled<T> {
  let waiting: { readonly value: T } | undefined;
  let stopTimer: (() => void) | undefined;
  let sending: Promise<void> = Promise.resolve();
  let closed = false;
  const sendWaiting = () => {
    const next = waiting;
    waiting = undefined;
    if (next) sending = sending.then(() => send(next.value)).catch(() => {});
    stopTimer = next && !closed ? after(everyMs, sendWaiting) : undefined;
  };
  return {
    push: (value) => {
      if (closed) return;
      waiting = { value };
      if (!stopTimer) sendWaiting();
    },
    drop: () => {
      closed = true;
      waiting = undefined;
      stopTimer?.();
    },
    flush: async () => {
      closed = true;
      stopTimer?.();
      sendWaiting();
      await sending;
    },
  };
}
