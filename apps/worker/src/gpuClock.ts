import { GpuState } from "@comfyq/contract";
import { monotonicMs } from "@comfyq/runtime";

/** How long the GPU has been in each state. */
export interface GpuClock {
  readonly state: GpuState;
  enter(state: GpuState): void;
  /** Resolves when it renders; at once when it does. */
  untilRendering(): Promise<void>;
  /** Seconds since the clock was made, up to now. */
  seconds(state: GpuState): number;
}

/** @param nowMs monotonic */
export function createGpuClock(nowMs: () => number = monotonicMs): GpuClock {
  const spentMs = new Map<GpuState, number>();
  let state: GpuState = "not_well"; // nobody has looked yet
  let sinceMs = nowMs();
  let rendering = Promise.withResolvers<void>();
  const spent = (of: GpuState) => (spentMs.get(of) ?? 0) + (of === state ? nowMs() - sinceMs : 0);
  return {
    get state() {
      return state;
    },
    enter: (next) => {
      if (next === state) return;
      if (next === "rendering") rendering.resolve();
      if (state === "rendering") rendering = Promise.withResolvers();
      spentMs.set(state, spent(state));
      state = next;
      sinceMs = nowMs();
    },
    untilRendering: () => rendering.promise,
    seconds: (of) => spent(of) / 1_000,
  };
}

/** Seconds without a prompt, by reason. */
export function idleSeconds(gpu: GpuClock): Readonly<Record<string, number>> {
  const reasons = GpuState.options.filter((state) => state !== "rendering");
  return Object.fromEntries(reasons.map((reason) => [reason, gpu.seconds(reason)]));
}
