import type { Workflow, WorkflowNode } from "./workflow.ts";

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
  /** Was a seed rolled? Then the next one will differ. */
  readonly isRandom: boolean;
  readonly faults: readonly ParamFault[];
}

/** Dice for `"random"` seeds: a whole number from 0 up to, not including, `below`. */
export type RollDice = (below: number) => number;

/** ComfyUI's seeds go up to 2^64-1, which JSON numbers in JavaScript cannot carry; 2^53-1 loses nobody anything. */
const SEED_RANGE = Number.MAX_SAFE_INTEGER;

/**
 * Returns the workflow with `params` written into it; `"random"` in an input named seed or noise_seed becomes a number now, so
 * that the stored graph is the one that ran. Paths that lead nowhere are returned as faults, all of them. What is given stays
 * as it was: nodes are copied when something is written into them, and shared when not.
 */
export function applyParams(
  workflow: Workflow,
  params: Readonly<Record<string, unknown>>,
  roll: RollDice,
): AppliedParams {
  const written = new Map<string, WorkflowNode>();
  const faults: ParamFault[] = [];
  const inputsOf = (nodeId: string, node: WorkflowNode): Record<string, unknown> => {
    const copy = written.get(nodeId) ?? { ...node, inputs: { ...node.inputs } };
    written.set(nodeId, copy);
    return copy.inputs;
  };
  for (const [param, value] of Object.entries(params)) {
    const address = parseParamPath(param);
    const node = address && Object.hasOwn(workflow, address.nodeId) ? workflow[address.nodeId] : undefined;
    if (!address) faults.push({ param, problem: "bad_path" });
    else if (!node) faults.push({ param, problem: "unknown_node" });
    else if (!isSafeName(address.input)) faults.push({ param, problem: "unknown_input" });
    else inputsOf(address.nodeId, node)[address.input] = value;
  }
  let isRandom = false;
  for (const [nodeId, node] of Object.entries(workflow))
    for (const name of SEED_NAMES) {
      const value = (written.get(nodeId) ?? node).inputs[name];
      if (value !== "random") continue;
      inputsOf(nodeId, node)[name] = roll(SEED_RANGE);
      isRandom = true;
    }
  // A spread keeps the order of the nodes, and takes the new ones in the places of the old.
  const applied = written.size === 0 ? workflow : { ...workflow, ...Object.fromEntries(written) };
  return { workflow: applied, isRandom, faults };
}

const SEED_NAMES = ["seed", "noise_seed"] as const;

function isSafeName(name: string): boolean {
  return name !== "__proto__" && name !== "constructor" && name !== "prototype";
}
