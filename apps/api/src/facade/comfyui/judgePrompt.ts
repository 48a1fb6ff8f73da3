import { isObject, type NodeErrors, PythonError, promptFault, validatePrompt } from "@comfyq/comfyui/wire";
import { WORKFLOW_LIMITS, Workflow } from "@comfyq/contract";
import type { FleetInfo } from "./fleetObjectInfo.ts";
import { PromptRefusal } from "./promptRefusal.ts";
import { type KnowsFile, validatedClasses } from "./validatedClasses.ts";

/** A graph that may be queued. */
export interface JudgedPrompt {
  /** Numbers that came as text are numbers. */
  readonly workflow: Workflow;
  readonly outputs: readonly string[];
  /** There are outputs in the graph that do not run. */
  readonly isPartial: boolean;
  /** Outputs that were dropped, and why: ComfyUI runs the others. */
  readonly nodeErrors: NodeErrors;
}

interface Wish {
  readonly graph: unknown;
  readonly targets: readonly unknown[] | null;
}

/**
 * Says what ComfyUI would say of a graph (execution.py validate_prompt). While an instance of the pool has not told what it knows,
 * nothing can be said, and its worker's ComfyUI decides.
 * @throws PromptRefusal
 */
export function judgePrompt({ graph, targets }: Wish, info: FleetInfo, knowsFile: KnowsFile): JudgedPrompt {
  const workflow = readGraph(graph);
  if (!info.isWhole) return { workflow, outputs: [], isPartial: false, nodeErrors: {} };
  const coerced = structuredClone(workflow);
  const verdict = validate(coerced, targets, info, knowsFile);
  if (!verdict.isValid) throw new PromptRefusal(verdict.error, verdict.nodeErrors);
  const { outputs, nodeErrors } = verdict;
  const all = Object.entries(workflow).filter(([, { class_type }]) => info.classes[class_type]?.output_node);
  return { workflow: takeCoerced(workflow, coerced), outputs, isPartial: outputs.length < all.length, nodeErrors };
}

function validate(graph: Workflow, targets: Wish["targets"], { classes }: FleetInfo, knowsFile: KnowsFile) {
  const classOf = validatedClasses(classes, knowsFile);
  try {
    return validatePrompt(graph, targets, { classOf, reportsCycles: true, namesMissingNodes: true });
  } catch (cause) {
    if (!(cause instanceof PythonError)) throw cause;
    throw new PromptRefusal(promptFault("invalid_prompt", "The prompt cannot be read", { details: cause.message }));
  }
}

/** @throws PromptRefusal */
function readGraph(graph: unknown): Workflow {
  if (!isObject(graph)) throw notAGraph("prompt must be an object: { node id: { class_type, inputs } }");
  if (Object.keys(graph).length > WORKFLOW_LIMITS.nodes)
    throw notAGraph(`it has more than ${WORKFLOW_LIMITS.nodes} nodes; split it`);
  for (const [id, node] of Object.entries(graph)) {
    if (!isObject(node)) throw notAGraph(`node ${id} is no object`);
    if (node["class_type"] === undefined) throw new PromptRefusal(missingClassType(id, node));
  }
  const parsed = Workflow.safeParse(graph);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw notAGraph(`${issue?.path.join(".")}: ${issue?.message}`);
}

function missingClassType(id: string, { _meta: meta }: Record<string, unknown>) {
  const title = isObject(meta) && typeof meta["title"] === "string" ? meta["title"] : null;
  const name = title ?? `ID #${id}`;
  return promptFault(
    "missing_node_type",
    `Node '${name}' has no class_type. The workflow may be corrupted or a custom node is missing.`,
    { details: `Node ID '#${id}'`, extra_info: { node_id: id, class_type: null, node_title: title } },
  );
}

function notAGraph(details: string): PromptRefusal {
  return new PromptRefusal(promptFault("invalid_prompt", "The prompt is not in ComfyUI's API format", { details }));
}

/** A list that was wrapped as a value stays wrapped: ComfyUI would take it for a link. */
function takeCoerced(workflow: Workflow, coerced: Workflow): Workflow {
  return Object.fromEntries(
    Object.entries(workflow).map(([id, node]) => {
      const values = coerced[id]?.inputs ?? {};
      const inputs = Object.entries(node.inputs).map(([name, value]) => [name, isObject(value) ? value : values[name]]);
      return [id, { ...node, inputs: Object.fromEntries(inputs) }];
    }),
  );
}
