import type { Rooms } from "../../rooms.ts";
import type { Call } from "../../route.ts";
import { keepOutput } from "../v2/keepOutput.ts";
import { findFlatOutput } from "./findFlatOutput.ts";
import { jobOfFlatName } from "./flatNames.ts";

/** Outputs of one graph that are made inputs; more are not known by their names. */
const MOST_KEPT = 20;

/**
 * Makes assets of the outputs that a graph names by their flat names, as Comfy Cloud's clients name one job's result in the next job's
 * graph. They outlive their job from then on.
 * @returns by the names in the graph @throws ApiError `payload_too_large` for one that is larger than an upload may be
 */
export async function keepFlatOutputs(rooms: Rooms, call: Call, names: readonly string[]) {
  const { signal } = call;
  const { tenant } = call.caller;
  const flat = names.filter((name) => jobOfFlatName(name) !== undefined).slice(0, MOST_KEPT);
  const kept = flat.map(async (name) => {
    const output = await findFlatOutput(rooms, tenant, name);
    if (!output) return [];
    const { id, hash } = await keepOutput(rooms, { tenant, signal }, output);
    return [[name, { assetId: id, sha256: hash.replace("sha256:", "") }] as const];
  });
  return new Map((await Promise.all(kept)).flat());
}
