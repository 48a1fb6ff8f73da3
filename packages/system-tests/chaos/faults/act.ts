import type { FaultName } from "../faultKinds.ts";
import type { Fleet, Station } from "../fleet.ts";
import type { FaultPlan } from "../nemesis.ts";

/** Undoes a fault. Safe to call when nothing is left to undo. */
type Heal = () => Promise<void> | void;

export interface Struck {
  readonly fleet: Fleet;
  readonly station: Station;
  readonly plan: FaultPlan;
}

/** Begins a fault. @returns how it is healed */
export type Act = (struck: Struck) => Promise<Heal> | Heal;

/** How the faults of one kind are done. */
export type Acts = Readonly<Partial<Record<FaultName, Act>>>;
