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

/** Faults that are only planned on purpose: slowness that a scenario needs. */
const NEVER_BY_CHANCE: readonly FaultName[] = ["exec_slow"];
const BY_CHANCE = (Object.keys(FAULT_KINDS) as FaultName[]) // keys of the table
  .filter((kind) => !NEVER_BY_CHANCE.includes(kind));

/** Pure: one to three faults of a round. Replays the same for the same numbers. */
export function planFaults(seed: number, round: number, stations: number): readonly FaultPlan[] {
  const dice = throwDice(seed, round, "faults");
  const plans = Array.from({ length: dice.whole(1, 3) }, () => ({
    kind: dice.pick(BY_CHANCE as [FaultName, ...FaultName[]]), // the table is not empty
    atMs: dice.whole(0, BEGIN_WITHIN_MS),
    lastsMs: dice.whole(SHORTEST_MS, LONGEST_MS),
    station: dice.whole(0, stations - 1),
    point: dice.pick(FAIL_POINT_NAMES),
  }));
  // Two of a kind would heal each other.
  return plans.filter(({ kind }, at) => plans.findIndex((other) => other.kind === kind) === at);
}

/** One line for a human. */
export function describeFault({ kind, atMs, lastsMs, station, point }: FaultPlan): string {
  return `${kind}${kind === "fail_point" ? ` ${point}` : ""} @${station} at ${atMs} ms for ${lastsMs} ms`;
}
