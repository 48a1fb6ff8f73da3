import { throwDice } from "./dice.ts";
import type { Tenant } from "./fleet.ts";

/**
 * What the customers of one round do. `twins` are three jobs with one workflow, `poison` kills whoever runs it, `invalid`
 * is refused by the API and `impossible` by ComfyUI; the rest is named after what its workflow does.
 */
const JOB_KINDS = [
  "picture",
  "long",
  "many_files",
  "twins",
  "values",
  "expanding",
  "input",
  "failing",
  "invalid",
  "impossible",
  "expiring",
  "overdue",
  "out_of_memory",
  "poison",
] as const;
export type JobKind = (typeof JOB_KINDS)[number];

/** One job and what its customer does about it. Moments count from the round's start. */
export interface JobPlan {
  /** Unique in the whole run: workflows and the sizes of their files are made from it. */
  readonly serial: number;
  readonly kind: JobKind;
  readonly tenant: Tenant;
  readonly atMs: number;
  readonly renderMs: number;
  readonly webhook: boolean;
  /** The same request is sent again. */
  readonly repeated: boolean;
  /** After it was accepted. */
  readonly cancelAfterMs: number | undefined;
  readonly watched: boolean;
  /** The other tenant tries to get at it. */
  readonly peeked: boolean;
}

/** Jobs per round. */
const JOBS = 12;
/** In which time they are submitted. */
const SUBMIT_WITHIN_MS = 4_000;
const OFTEN: readonly [JobKind, ...JobKind[]] = [
  "picture",
  "long",
  "long",
  "many_files",
  "twins",
  "values",
  "expanding",
  "input",
];
const SOMETIMES: readonly [JobKind, ...JobKind[]] = [
  "failing",
  "invalid",
  "impossible",
  "expiring",
  "overdue",
  "out_of_memory",
];
/** A poison takes two ComfyUIs with it: in one round of so many. */
const POISON_ONE_IN = 6;

/** Pure: the customers' part of a round. Replays the same for the same numbers. */
export function planJobs(seed: number, round: number): readonly JobPlan[] {
  const dice = throwDice(seed, round, "jobs");
  const kinds: JobKind[] = Array.from({ length: JOBS }, () => dice.pick(dice.oneIn(4) ? SOMETIMES : OFTEN));
  if (dice.oneIn(POISON_ONE_IN)) kinds[0] = "poison";
  return kinds.flatMap((kind, at) => {
    const plan: JobPlan = {
      serial: round * JOBS + at,
      kind,
      tenant: dice.pick(["alpha", "alpha", "beta"]),
      atMs: dice.whole(0, SUBMIT_WITHIN_MS),
      renderMs: kind === "long" ? dice.whole(3_000, 7_000) : dice.whole(100, 1_500),
      webhook: !dice.oneIn(3),
      repeated: dice.oneIn(4),
      cancelAfterMs: dice.oneIn(5) ? dice.whole(0, 2_500) : undefined,
      watched: dice.oneIn(2),
      peeked: dice.oneIn(3),
    };
    return kind === "twins" ? [0, 1, 2].map((twin) => ({ ...plan, atMs: plan.atMs + 50 * twin })) : [plan];
  });
}
