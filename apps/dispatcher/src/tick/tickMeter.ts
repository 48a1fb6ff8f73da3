import type { TickOutcome } from "@comfyq/contract";
import type { Metrics } from "@comfyq/runtime";

/** Counts what becomes of ticks. */
export interface TickMeter {
  /** @param lagMs from the moment to when its fate was sealed */
  note(outcome: TickOutcome, lagMs: number, moments?: number): void;
  /** Shows it from now on. */
  measure(metrics: Metrics): void;
}

const LAG_SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3_600];

export function createTickMeter(): TickMeter {
  const listeners: TickMeter["note"][] = [];
  return {
    note: (outcome, lagMs, moments = 1) => {
      for (const listen of listeners) listen(outcome, lagMs, moments);
    },
    measure: (metrics) => {
      const ticks = metrics.counter("comfyq_schedule_ticks_total", "Moments of schedules by what came of them", [
        "outcome",
      ]);
      const lag = metrics.histogram("comfyq_schedule_lag_seconds", "From a schedule's moment to its job", {
        buckets: LAG_SECONDS,
      });
      listeners.push((outcome, lagMs, moments = 1) => {
        ticks.inc({ outcome }, moments);
        if (outcome === "job") lag.observe(Math.max(0, lagMs) / 1_000);
      });
    },
  };
}
