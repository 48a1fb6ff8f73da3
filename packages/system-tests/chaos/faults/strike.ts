import { FAULT_KINDS } from "../faultKinds.ts";
import type { Fleet } from "../fleet.ts";
import type { FaultPlan } from "../nemesis.ts";
import type { Act } from "./act.ts";
import { COMFYUI_ACTS } from "./comfyui.ts";
import { FAIL_POINT_ACTS } from "./failPoint.ts";
import { LINE_ACTS } from "./lines.ts";
import { PROCESS_ACTS } from "./processes.ts";
import { RECEIVER_ACTS } from "./receivers.ts";
import { REDIS_ACTS } from "./redis.ts";
import { STORE_ACTS } from "./store.ts";

const ACTS = {
  ...PROCESS_ACTS,
  ...LINE_ACTS,
  ...REDIS_ACTS,
  ...STORE_ACTS,
  ...COMFYUI_ACTS,
  ...RECEIVER_ACTS,
  ...FAIL_POINT_ACTS,
};

/** Faults that nobody can do: the table and the deeds have drifted apart. Must be empty. */
export function undoable(): readonly string[] {
  return Object.keys(FAULT_KINDS).filter((kind) => !(kind in ACTS));
}

let serial = 0;

/** Begins a fault and notes it. @returns heals it and notes that; safe to repeat */
export async function strike(fleet: Fleet, plan: FaultPlan): Promise<() => Promise<void>> {
  serial += 1;
  const id = serial;
  const station = fleet.stations[plan.station] ?? fleet.stations[0];
  const act: Act | undefined = ACTS[plan.kind];
  if (!station || !act) throw new Error(`nobody knows how to do ${plan.kind}`);
  const target = plan.kind === "fail_point" ? plan.point : station.worker.name;
  fleet.history.note("nemesis", { op: "fault", id, kind: plan.kind, target, simulator: station.simulator.name });
  const heal = await act({ fleet, station, plan });
  let isHealed = false;
  return async () => {
    if (isHealed) return;
    isHealed = true;
    await heal();
    fleet.history.note("nemesis", { op: "healed", id });
  };
}
