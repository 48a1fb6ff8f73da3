import type { Workflow } from "./workflow.ts";

/** What an input can be addressed as: `6.inputs.text`, or `6-inputs-text` where a dot is awkward; node ids may hold both. */
export type ParamFault = { readonly param: string; readonly problem: "bad_path" | "unknown_node" | "unknown_input" };

interface Address {
  readonly nodeId: string;
  readonly input: string;
}

/** Reads one parameter path; undefined when it is none. */
export function parseParamPath(path: string): Address | undefined {
  const match = /^(.+?)(?:\.inputs\.|-inputs-)(.+)$/.exec(path);
  const [, nodeId, input] = match ?? [];
  return nodeId === undefined || input === undefined ? undefined : { nodeId, input };
}

export interface AppliedParams {
  readonly workflow: Workflow;
  readonly faults: readonly ParamFault[];
}

/** Dice for `"random"` seeds: a whole number from 0 up to, not including, `below`. */
export type RollDice = (below: number) => number;

/** ComfyUI's seeds go up to 2^64-1, which JSON numbers in JavaScript cannot carry; 2^53-1 loses nobody anything. */
const SEED_RANGE = Number.MAX_SAFE_INTEGER;

/**
 * Returns a copy of the workflow with `params` written into it; `"random"` in an input named seed or noise_seed becomes a
 * number now, so that the stored graph is the one that ran. Paths that lead nowhere are returned as faults, all of them.
 */
export function applyParams(
  workflow: Workflow,
  params: Readonly<Record<string, unknown>>,
  roll: RollDice,
): AppliedParams {
  const copy: Workflow = structuredClone(workflow);
  const faults: ParamFault[] = [];
  for (const [param, value] of Object.entries(params)) {
    const address = parseParamPath(param);
    const node = address && Object.hasOwn(copy, address.nodeId) ? copy[address.nodeId] : undefined;
    if (!address) faults.push({ param, problem: "bad_path" });
    else if (!node) faults.push({ param, problem: "unknown_node" });
    else if (!isSafeName(address.input)) faults.push({ param, problem: "unknown_input" });
    else node.inputs[address.input] = value;
  }
  resolveRandomSeeds(copy, roll);
  return { workflow: copy, faults };
}

function isSafeName(name: string): boolean {
  return name !== "__proto__" && name !== "constructor" && name !== "prototype";
}

function resolveRandomSeeds(workflow: Workflow, roll: RollDice): void {
  for (const node of Object.values(workflow))
    for (const name of ["seed", "noise_seed"]) if (node.inputs[name] === "random") node.inputs[name] = roll(SEED_RANGE);
}
