import { type NodeClasses, WORKFLOW_LIMITS, type Workflow } from "@comfyq/contract";
import { closestName } from "../closestName.ts";
import { ApiError, type Fault } from "../errors.ts";

/**
 * Checks what can be checked of a graph without a ComfyUI.
 * @throws ApiError `invalid_workflow`, naming every node that is wrong
 */
export function checkGraph(workflow: Workflow): void {
  const nodes = Object.keys(workflow).length;
  if (nodes === 0) throw invalid("The workflow has no nodes; export one from ComfyUI with Workflow > Export (API)", []);
  if (nodes > WORKFLOW_LIMITS.nodes)
    throw invalid(`The workflow has ${nodes} nodes, and at most ${WORKFLOW_LIMITS.nodes} are taken; split it`, []);
  const dangling = findDanglingLinks(workflow);
  if (dangling.length > 0) throw invalid("Some inputs are linked to nodes that the workflow does not have", dangling);
}

/**
 * Checks a graph against what the instances of its pool have told.
 * @throws ApiError `invalid_workflow`, naming every node and class that nobody has
 */
export function checkClasses(workflow: Workflow, pool: string, known: NodeClasses): void {
  const unknown = findUnknownClasses(workflow, known);
  if (unknown.length > 0) {
    const names = [...new Set(unknown.map(({ classType }) => classType))];
    const listed = names.slice(0, 10).join(", ") + (names.length > 10 ? ` and ${names.length - 10} more` : "");
    throw invalid(
      `No instance of pool ${pool} has the node class${names.length === 1 ? "" : "es"} ${listed}; correct the name, or install the custom nodes and restart ComfyUI`,
      unknown.map(({ nodeId, classType }) => {
        const near = closestName(classType, Object.keys(known));
        return {
          path: `workflow.${nodeId}.class_type`,
          message: `unknown class ${JSON.stringify(classType)}${near === undefined ? "" : `; did you mean ${near}?`}`,
        };
      }),
    );
  }
  // ComfyUI refuses such a graph: "Prompt has no outputs" (execution.py validate_prompt).
  if (!Object.values(workflow).some((node) => known[node.class_type]))
    throw invalid("The workflow has no output node, so it would produce nothing; add one such as SaveImage", []);
}

/** True when a class is missing: the answer may be old, so ask again before refusing. */
export function hasUnknownClass(workflow: Workflow, known: NodeClasses): boolean {
  return findUnknownClasses(workflow, known).length > 0;
}

function findUnknownClasses(workflow: Workflow, known: NodeClasses) {
  return Object.entries(workflow)
    .filter(([, node]) => !Object.hasOwn(known, node.class_type))
    .map(([nodeId, node]) => ({ nodeId, classType: node.class_type }));
}

/** A link is `[node id, output slot]` (reference/comfyui-protocol.md §1.1). */
function findDanglingLinks(workflow: Workflow): readonly Fault[] {
  const faults: Fault[] = [];
  for (const [nodeId, node] of Object.entries(workflow))
    for (const [name, value] of Object.entries(node.inputs)) {
      if (!Array.isArray(value) || value.length !== 2) continue;
      const [target, slot]: readonly unknown[] = value;
      if (typeof target !== "string" || typeof slot !== "number" || Object.hasOwn(workflow, target)) continue;
      faults.push({
        path: `workflow.${nodeId}.inputs.${name}`,
        message: `is linked to node ${JSON.stringify(target)}, which is not there`,
      });
    }
  return faults;
}

function invalid(message: string, details: readonly Fault[]): ApiError {
  return new ApiError("invalid_workflow", message, { details });
}
