import { median, rounded } from "./statistics.ts";

/** A machine whose speed moved by more than this while something was measured says nothing of it. */
const MOST_MOVEMENT = 0.15;
const SPINS = 5;
const TURNS = 30_000_000;

/** How long the same work took before and after a measurement, in ms. */
export interface Noise {
  readonly before_ms: number;
  readonly after_ms: number;
  /** 0.2: a fifth slower, or faster, after than before. */
  readonly moved: number;
}

/** Time of a fixed piece of work for one core, in ms. */
function spinMs(): number {
  return median(Array.from({ length: SPINS }, spinOnce));
}

function spinOnce(): number {
  const startedAtMs = performance.now();
  let state = 1;
  for (let turn = 0; turn < TURNS; turn += 1) state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
  const tookMs = performance.now() - startedAtMs;
  return state === 0 ? 0 : tookMs; // the result is used, so that the loop is not optimised away
}

function noiseOf(beforeMs: number, afterMs: number): Noise {
  const moved = Math.max(beforeMs, afterMs) / Math.min(beforeMs, afterMs) - 1;
  return { before_ms: rounded(beforeMs, 1), after_ms: rounded(afterMs, 1), moved: rounded(moved, 2) };
}

function isTooNoisy({ moved }: Noise): boolean {
  return moved > MOST_MOVEMENT;
}

/** Measures, and once more when the machine's own speed moved meanwhile. */
export async function amongNoise<T>(measure: () => Promise<T>, spin = spinMs): Promise<{ value: T; noise: Noise }> {
  const once = async () => {
    const beforeMs = spin();
    const value = await measure();
    return { value, noise: noiseOf(beforeMs, spin()) };
  };
  const first = await once();
  if (!isTooNoisy(first.noise)) return first;
  const second = await once();
  return second.noise.moved < first.noise.moved ? second : first;
}
