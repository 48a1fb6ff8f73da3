import { isObject } from "@comfyq/comfyui/wire";
import { FAULT_KINDS } from "../../faults/Fault.ts";
import { parseFault } from "../../faults/parseFault.ts";
import type { Simulation } from "../../Simulation.ts";
import { SimulatorError } from "../../SimulatorError.ts";
import type { ApiRequest } from "../ApiRequest.ts";
import { empty, json, type Reply } from "../Reply.ts";
import type { Route } from "../Router.ts";

/** The simulator's own face: faults, counts, restart, death. ComfyUI has nothing of this. */
export const CONTROL_ROUTES: readonly Route[] = [
  { method: "GET", path: "/simulator/stats", isBareOnly: true, handle: (_, { parts }) => json(parts.stats.snapshot()) },
  {
    method: "GET",
    path: "/simulator/faults",
    isBareOnly: true,
    handle: (_, { parts }) => json({ faults: parts.faults.list() }),
  },
  { method: "POST", path: "/simulator/faults", isBareOnly: true, handle: addFaults },
  { method: "DELETE", path: "/simulator/faults", isBareOnly: true, handle: clearFaults },
  {
    method: "POST",
    path: "/simulator/restart",
    isBareOnly: true,
    handle: async (request, simulation) => {
      const body = await request.body();
      const wish: unknown = body.length === 0 ? {} : JSON.parse(body.toString("utf8"));
      const downMs = isObject(wish) && typeof wish["downMs"] === "number" ? wish["downMs"] : 0;
      // The answer goes out first: the restart drops this connection too.
      request.afterAnswer = () => void simulation.restart(downMs);
      return empty();
    },
  },
  {
    method: "POST",
    path: "/simulator/die",
    isBareOnly: true,
    handle: (request, simulation) => {
      request.afterAnswer = () => simulation.crash();
      return empty();
    },
  },
];

/** Takes one fault, a list, or `{ clear: true }`; answers with all that are waiting. */
async function addFaults(request: ApiRequest, { parts }: Simulation): Promise<Reply> {
  try {
    const body = await request.json();
    if (isObject(body) && body["clear"] === true) parts.faults.clear();
    else {
      const faults = (Array.isArray(body) ? body : [body]).map(parseFault);
      for (const fault of faults) parts.faults.add(fault);
    }
    return json({ faults: parts.faults.list() });
  } catch (cause) {
    if (cause instanceof SyntaxError) return json({ error: "the body is not JSON" }, 400);
    if (cause instanceof SimulatorError) return json({ error: cause.message }, 400);
    throw cause;
  }
}

function clearFaults({ query }: ApiRequest, { parts }: Simulation): Reply {
  const wanted = query.get("kind");
  const kind = FAULT_KINDS.find((known) => known === wanted);
  if (wanted !== null && !kind) return json({ error: `there is no fault ${wanted}` }, 400);
  parts.faults.clear(kind);
  return json({ faults: parts.faults.list() });
}
