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
  const written = writeValues(workflow, params);
  const seeds = rollSeeds(written.workflow, {}, roll);
  const isRandom = Object.keys(seeds).length > 0;
  const applied = isRandom ? writeValues(written.workflow, seeds).workflow : written.workflow;
  return { workflow: applied, isRandom, faults: written.faults };
}

/** The same, with "random" seeds left as they are. */
export function writeValues(
  workflow: Workflow,
  params: Readonly<Record<string, unknown>>,
): Omit<AppliedParams, "isRandom"> {
  const written = new Map<string, WorkflowNode>();
  const faults: ParamFault[] = [];
  for (const [param, value] of Object.entries(params)) {
    const address = parseParamPath(param);
    const node = address && Object.hasOwn(workflow, address.nodeId) ? workflow[address.nodeId] : undefined;
    if (!address) faults.push({ param, problem: "bad_path" });
    else if (!node) faults.push({ param, problem: "unknown_node" });
    else if (!isSafeName(address.input)) faults.push({ param, problem: "unknown_input" });
    else {
      const copy = written.get(address.nodeId) ?? { ...node, inputs: { ...node.inputs } };
      written.set(address.nodeId, copy);
      copy.inputs[address.input] = value;
    }
  }
  // A spread keeps the order of the nodes, and takes the new ones in the places of the old.
  return { workflow: written.size === 0 ? workflow : { ...workflow, ...Object.fromEntries(written) }, faults };
}

/**
 * Numbers for the seeds that are "random" once `params` are written into the workflow, as params themselves.
 * @param params by full path, `<node id>.inputs.<name>`
 */
export function rollSeeds(
  workflow: Workflow,
  params: Readonly<Record<string, unknown>>,
  roll: RollDice,
): Record<string, number> {
  const seeds: Record<string, number> = {};
  for (const [nodeId, node] of Object.entries(workflow))
    for (const name of SEED_NAMES) {
      const path = `${nodeId}.inputs.${name}`;
      const value = Object.hasOwn(params, path) ? params[path] : node.inputs[name];
      if (value === "random") seeds[path] = roll(SEED_RANGE);
    }
  return seeds;
}

const SEED_NAMES = ["seed", "noise_seed"] as const;

function isSafeName(name: string): boolean {
  return name !== "__proto__" && name !== "constructor" && name !== "prototype";
}
