import { setImmediate as turn } from "node:timers/promises";
import type { SimulatorClock } from "../src/index.ts";

/** A clock of a test's own: no real time passes, and while it is held only {@link SteppedClock.release} lets it go on. */
export interface SteppedClock extends SimulatorClock {
  /** From now on every sleep waits to be released. */
  readonly hold: () => void;
  /** Waits until somebody sleeps, and wakes the one who fell asleep first. */
  readonly release: () => Promise<void>;
  /** Waits until somebody sleeps. */
  readonly untilAsleep: () => Promise<void>;
  /** How many sleep now. */
  readonly sleeping: () => number;
  /** Ends {@link hold}: whoever sleeps wakes. */
  readonly letGo: () => void;
}

export function steppedClock(): SteppedClock {
  let now = 0;
  let isHeld = false;
  const sleepers: (() => void)[] = [];
  let tell = (): void => {};
  const untilAsleep = async (): Promise<void> => {
    if (sleepers.length > 0) return;
    await new Promise<void>((resolve) => {
      tell = resolve;
    });
  };
  return {
    nowMs: () => 1_800_000_000_000 + now,
    monotonicMs: () => now,
    turn: () => turn(),
    sleep: async (durationMs, signal) => {
      signal?.throwIfAborted();
      if (isHeld) {
        await new Promise<void>((resolve, reject) => {
          sleepers.push(resolve);
          tell();
          signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
        });
      } else await turn();
      now += durationMs;
    },
    hold: () => {
      isHeld = true;
    },
    untilAsleep,
    sleeping: () => sleepers.length,
    release: async () => {
      await untilAsleep();
      sleepers.shift()?.();
    },
    letGo: () => {
      isHeld = false;
      for (const wake of sleepers.splice(0)) wake();
    },
  };
}
