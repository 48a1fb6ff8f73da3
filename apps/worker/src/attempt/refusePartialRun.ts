import type { Rendered } from "@comfyq/comfyui";
import { HistoryPrompt, type NodeErrors } from "@comfyq/comfyui/wire";
import type { NodeClasses, Workflow } from "@comfyq/contract";
import { JobError } from "../jobError.ts";
import { plainFaults } from "./toJobError.ts";

/**
 * ComfyUI answers 200, drops invalid outputs and runs the rest; the customer asked for all of them (protocol §1.1).
 * @throws JobError `workflow_rejected` when the answer to a submission names nodes
 */
export function refusePartialRun(nodeErrors: NodeErrors): void {
  const nodes = Object.keys(nodeErrors);
  if (nodes.length > 0) throw refusal(nodes, { faults: plainFaults(nodeErrors) });
}

/** What was to run: all outputs of the graph, or only some. */
interface AskedOutputs {
  readonly workflow: Workflow;
  readonly only?: readonly string[] | undefined;
}

/**
 * The same for a prompt whose answer was lost: history tells which outputs were to run.
 * @param classes what the instance knows; nodes of unknown classes are not asked for
 * @throws JobError `workflow_rejected`
 */
export function refusePartialOutputs({ entry }: Rendered, asked: AskedOutputs, classes: NodeClasses | undefined): void {
  const ran = HistoryPrompt.safeParse(entry.prompt).data?.[4];
  if (!ran || !classes) return; // Comfy Cloud does not tell, nor does a history that somebody cleared
  const isAsked = (id: string) => asked.only?.includes(id) ?? true;
  const dropped = Object.entries(asked.workflow).filter(
    ([id, { class_type }]) => classes[class_type] === true && isAsked(id) && !ran.includes(id),
  );
  if (dropped.length > 0)
    throw refusal(
      dropped.map(([id]) => id),
      {},
    );
}

function refusal(nodes: readonly string[], details: Record<string, unknown>): JobError {
  const message = `ComfyUI refused a part of this workflow (nodes ${nodes.join(", ")}); mend or remove it`;
  return new JobError("workflow_rejected", message, { nodeId: nodes[0], details });
}
