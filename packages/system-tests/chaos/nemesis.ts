import { throwDice } from "./dice.ts";
import { FAIL_POINT_NAMES, type FailPointName } from "./failPoints.ts";
import { FAULT_KINDS, type FaultName } from "./faultKinds.ts";

/** One thing the nemesis does. Moments count from the round's start. */
export interface FaultPlan {
  readonly kind: FaultName;
  readonly atMs: number;
  /** How long it lasts before it is healed. */
  readonly lastsMs: number;
  /** Which station it strikes, where it strikes one. */
  readonly station: number;
  /** For `fail_point`: where the process dies. */
  readonly point: FailPointName;
}

/** In which time faults begin: while jobs are being submitted and rendered. */
const BEGIN_WITHIN_MS = 4_000;
const SHORTEST_MS = 200;
/** Longer than a lock of the scaled system (2 s), so that its loss is met too. */
const LONGEST_MS = 5_000;

/** How often a kind comes up beside the others, which come up once; 0: never by chance, only where a story needs it. */
const WEIGHTS: Readonly<Partial<Record<FaultName, number>>> = {
  fail_point: 8,
  kill_worker: 3,
  stop_worker: 3,
  freeze_worker_redis: 3,
  kill_simulator: 2,
  zombie: 2,
  kill_redis: 2,
  stop_redis: 2,
  prompt_answer_lost: 2,
  exec_slow: 0,
  history_500: 0,
};
const HAT = (Object.keys(FAULT_KINDS) as FaultName[]) // keys of the table
  .flatMap((kind) => Array.from({ length: WEIGHTS[kind] ?? 1 }, () => kind)) as [FaultName, ...FaultName[]]; // and not empty

/** Pure: one to four faults of a round, often all at one station. Replays the same for the same numbers. */
export function planFaults(seed: number, round: number, stations: number): readonly FaultPlan[] {
  const dice = throwDice(seed, round, "faults");
  const victim = dice.oneIn(2) ? dice.whole(0, stations - 1) : undefined;
  const plans = Array.from({ length: dice.whole(1, 4) }, () => ({
    kind: dice.pick(HAT),
    atMs: dice.whole(0, BEGIN_WITHIN_MS),
    lastsMs: dice.whole(SHORTEST_MS, LONGEST_MS),
    station: victim ?? dice.whole(0, stations - 1),
    point: dice.pick(FAIL_POINT_NAMES),
  }));
  // Two of a kind would heal each other.
  return plans.filter(({ kind }, at) => plans.findIndex((other) => other.kind === kind) === at);
}

/** One line for a human. */
export function describeFault({ kind, atMs, lastsMs, station, point }: FaultPlan): string {
  return `${kind}${kind === "fail_point" ? ` ${point}` : ""} @${station} at ${atMs} ms for ${lastsMs} ms`;
}
