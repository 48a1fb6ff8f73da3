import { setTimeout as delay, setImmediate as nextTurn } from "node:timers/promises";

/**
 * All time that the simulator spends or reads. Tests may pass one of their own to {@link startSimulator}.
 * `sleep` rejects when the signal aborts; `turn` lets waiting I/O be served once.
 */
export interface SimulatorClock {
  /** Unix time in ms. */
  nowMs(): number;
  /** Monotonic time in ms from an arbitrary start. */
  monotonicMs(): number;
  sleep(durationMs: number, signal?: AbortSignal): Promise<void>;
  turn(): Promise<void>;
}

/** The computer's own time. */
export const realClock: SimulatorClock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep: (durationMs, signal) => delay(durationMs, undefined, signal ? { signal } : {}),
  turn: () => nextTurn(),
};
