import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Act, Acts, Struck } from "./act.ts";

const ANSWER_MS = 2_000;

/** Asks the simulator itself, past the line that can be broken. @returns did it answer? */
async function tell({ station }: Struck, method: "POST" | "DELETE", path: string, body?: object): Promise<boolean> {
  const signal = AbortSignal.timeout(ANSWER_MS);
  const request = { method, signal, ...(body ? { body: JSON.stringify(body) } : {}) };
  const answer = await fetch(`${station.simulatorUrl}/simulator/${path}`, request).catch(() => undefined);
  return answer !== undefined;
}

/** What another fault may need to pass. */
const PATIENCE_MS = 10_000;

/** Tells it again while it is away: a fault that was not taken back would strike after it was healed. */
async function insist(struck: Struck, method: "POST" | "DELETE", path: string, body?: object): Promise<void> {
  const untilMs = performance.now() + PATIENCE_MS;
  while (!(await tell(struck, method, path, body)) && performance.now() < untilMs)
    await new Promise((resolve) => setTimeout(resolve, 100));
}

/** What `POST /simulator/faults` takes. */
type SimulatorFault = { readonly kind: string } & Readonly<Record<string, string | number>>;

/** Gives the simulator some faults, and takes back when healed what has not struck. */
function inject(...faults: readonly SimulatorFault[]): Act {
  return async (struck) => {
    await tell(struck, "POST", "faults", faults);
    return async () => {
      for (const { kind } of faults) await insist(struck, "DELETE", `faults?kind=${kind}`);
    };
  };
}

/** Breaks it in a way that only a restart mends. */
function injectUntilRestart(fault: SimulatorFault): Act {
  return async (struck) => {
    await tell(struck, "POST", "faults", fault);
    return async () => {
      await insist(struck, "DELETE", `faults?kind=${fault.kind}`);
      await insist(struck, "POST", "restart", {});
    };
  };
}

/** What can happen to one ComfyUI. */
export const COMFYUI_ACTS: Acts = {
  ws_drop: inject({ kind: "ws_drop" }, { kind: "ws_drop", at: "execution_success" }),
  ws_silent: inject({ kind: "ws_silent" }),
  ws_mute: inject({ kind: "ws_mute" }),
  ws_hang: inject({ kind: "ws_drop" }, { kind: "ws_hang" }),
  frames_stop: inject({ kind: "frames_stop" }),
  prompt_answer_lost: inject({ kind: "http_reset", path: "/prompt", method: "POST", when: "after" } as {
    kind: string;
  }),
  prompt_500: inject({ kind: "http_500", path: "/prompt", method: "POST", when: "after" }),
  comfyui_500: inject({ kind: "http_500", path: "*", times: 10 }),
  comfyui_hangs: inject({ kind: "http_hang", path: "*", times: 4 }),
  history_500: inject({ kind: "http_500", path: "/history*", times: 1_000 }),
  history_late: inject({ kind: "history_delay", ms: 500 }),
  history_evicted: inject({ kind: "history_evict" }),
  output_cut_off: inject({ kind: "http_cut", path: "/view" }),
  output_stalls: inject({ kind: "http_stall", path: "/view" }),
  upload_refused: inject({ kind: "upload_fail" }),
  disk_full: inject({ kind: "disk_full" }),
  refused_in_part: inject({ kind: "node_errors_200" }),
  deaf: inject({ kind: "deaf", ms: 3_000 }),
  output_missing: inject({ kind: "output_missing" }),
  outputs_cleared: async ({ fleet, station }) => {
    const at = fleet.stations.indexOf(station);
    await rm(join(fleet.dir, `comfyui-${at}`, "output"), { recursive: true, force: true });
    return () => {};
  },
  out_of_memory: inject({ kind: "oom_next" }),
  cuda_fault: injectUntilRestart({ kind: "cuda_next" }),
  interrupted: inject({ kind: "interrupt" }),
  simulator_restart: async (struck) => {
    await tell(struck, "POST", "restart", { downMs: struck.plan.lastsMs });
    return () => {};
  },
  zombie: injectUntilRestart({ kind: "zombie" }),
  exec_slow: inject({ kind: "exec_slow", factor: 20 }),
};
