import { ExecutionBlocker, type NodeInputs } from "../nodes/NodeClass.ts";
import { describeValue } from "../nodes/values.ts";
import { isLink } from "./graph.ts";
import type { PromptRun } from "./PromptRun.ts";

/** A node's inputs with links replaced by what they lead to; lazy inputs that did not run yet are left out. */
export function resolveInputs(run: PromptRun, nodeId: string): NodeInputs {
  const inputs: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(run.graph.node(nodeId).inputs)) {
    if (!isLink(value)) {
      inputs[name] = value;
      continue;
    }
    const outcome = run.outcomes.get(value[0]) ?? run.cache.get(value[0]);
    if (outcome) inputs[name] = outcome.outputs[value[1]];
  }
  return inputs;
}

/** The first input that is blocked, if any. */
export function blockerIn(inputs: NodeInputs): ExecutionBlocker | undefined {
  return Object.values(inputs).find((value) => value instanceof ExecutionBlocker);
}

/** Inputs as an error message shows them: a list for each, whose entries are plain values or their `str()`. */
export function formatInputs(run: PromptRun, nodeId: string): Record<string, unknown[]> {
  return Object.fromEntries(
    Object.entries(resolveInputs(run, nodeId)).map(([name, value]) => [name, [describeValue(value)]]),
  );
}
