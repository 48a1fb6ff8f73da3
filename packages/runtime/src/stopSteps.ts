import { monotonicMs } from "./clock.ts";

/** One thing to put away when a service stops. */
export interface StopStep {
  readonly name: string;
  readonly fn: (signal: AbortSignal) => unknown;
}

/** Hears how each step went; `step` began, or it ended after `durationMs`, perhaps with an error. */
export type StopEvent =
  | { readonly kind: "began"; readonly step: string }
  | { readonly kind: "ended"; readonly step: string; readonly durationMs: number }
  | { readonly kind: "failed"; readonly step: string; readonly durationMs: number; readonly error: unknown };

/**
 * Takes steps from the end of the list and runs them one by one until the list is empty; a step added meanwhile is next.
 * Never rejects: a step that throws is reported and the next one runs.
 */
export async function runStopSteps(
  steps: StopStep[],
  signal: AbortSignal,
  onEvent: (event: StopEvent) => void,
): Promise<void> {
  for (let step = steps.pop(); step; step = steps.pop()) {
    const beganAtMs = monotonicMs();
    const took = (): number => Math.round(monotonicMs() - beganAtMs);
    onEvent({ kind: "began", step: step.name });
    try {
      await step.fn(signal);
      onEvent({ kind: "ended", step: step.name, durationMs: took() });
    } catch (error) {
      onEvent({ kind: "failed", step: step.name, durationMs: took(), error });
    }
  }
}
