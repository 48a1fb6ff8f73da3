import type { NodeErrors, PromptFault } from "../prompt.ts";
import { asPythonError, GraphValidator, type ValidationRules, type Verdict } from "./GraphValidator.ts";
import { isObject, PythonError, pythonStr } from "./pythonValues.ts";
import { exceptionDuringValidation, promptFault } from "./validationFaults.ts";

/** A graph whose nodes are objects of known classes. */
type ValidGraph = Record<string, { readonly class_type: string; readonly inputs: Record<string, unknown> }>;

/** What `POST /prompt` finds out about a graph. `nodeErrors` may be filled even when it is accepted. */
export type PromptVerdict =
  | {
      readonly isValid: true;
      readonly graph: ValidGraph;
      readonly outputs: readonly string[];
      readonly nodeErrors: NodeErrors;
    }
  | { readonly isValid: false; readonly error: PromptFault; readonly nodeErrors: NodeErrors };

/** {@link ValidationRules}, and how an unknown class is reported. */
interface PromptRules extends ValidationRules {
  /** `missing_node_type` (0.11.1) instead of `invalid_prompt`. */
  readonly namesMissingNodes: boolean;
}

/**
 * Validates a graph (execution.py validate_prompt). Constants in `graph` are replaced by their coerced values.
 * @param targets the output nodes to run; all when null
 * @throws PythonError where ComfyUI answers 500: the graph is not an object of objects
 */
export function validatePrompt(graph: unknown, targets: readonly unknown[] | null, rules: PromptRules): PromptVerdict {
  if (!isObject(graph)) throw new PythonError("TypeError", "the prompt is not an object");
  const outputs: string[] = [];
  for (const [nodeId, node] of Object.entries(graph)) {
    const unknownClass = findUnknownClass(nodeId, node, rules);
    if (unknownClass) return { isValid: false, error: unknownClass, nodeErrors: {} };
    const nodeClass = isObject(node) ? rules.classOf(pythonStr(node["class_type"])) : undefined;
    if (nodeClass?.isOutput && (targets === null || targets.includes(nodeId))) outputs.push(nodeId);
  }
  if (outputs.length === 0) {
    return { isValid: false, error: promptFault("prompt_no_outputs", "Prompt has no outputs"), nodeErrors: {} };
  }
  return judgeOutputs(graph, outputs, rules);
}

function findUnknownClass(nodeId: string, node: unknown, rules: PromptRules): PromptFault | undefined {
  if (!isObject(node)) throw new PythonError("TypeError", "a node of the prompt is not an object");
  const type = rules.namesMissingNodes ? "missing_node_type" : "invalid_prompt";
  const details = `Node ID '#${nodeId}'`;
  const classType = node["class_type"];
  const meta = node["_meta"];
  const title = isObject(meta) && typeof meta["title"] === "string" ? meta["title"] : undefined;
  if (classType === undefined) {
    const message = rules.namesMissingNodes
      ? `Node '${title ?? `ID #${nodeId}`}' has no class_type. The workflow may be corrupted or a custom node is missing.`
      : "Cannot execute because a node is missing the class_type property.";
    const extra = { node_id: nodeId, class_type: null, node_title: title ?? null };
    return promptFault(type, message, { details, extra_info: rules.namesMissingNodes ? extra : {} });
  }
  if (rules.classOf(pythonStr(classType))) return undefined;
  const name = title ?? pythonStr(classType);
  const message = rules.namesMissingNodes
    ? `Node '${name}' not found. The custom node may not be installed.`
    : `Cannot execute because node ${pythonStr(classType)} does not exist.`;
  const extra = { node_id: nodeId, class_type: classType, node_title: name };
  return promptFault(type, message, { details, extra_info: rules.namesMissingNodes ? extra : {} });
}

function judgeOutputs(graph: Record<string, unknown>, outputs: readonly string[], rules: PromptRules): PromptVerdict {
  const validator = new GraphValidator(graph, rules);
  const nodeErrors: NodeErrors = {};
  const good: string[] = [];
  const texts: string[] = [];
  for (const output of outputs) {
    const verdict = judge(validator, output);
    if (verdict.isValid) {
      good.push(output);
      continue;
    }
    texts.push(...verdict.reasons.map(({ message, details }) => `${message}: ${details}`));
    collectErrors(nodeErrors, output, { validator, graph });
  }
  // The graph's nodes are objects with a known class: findUnknownClass has looked at each of them.
  if (good.length > 0) return { isValid: true, graph: graph as ValidGraph, outputs: good, nodeErrors };
  const message = "Prompt outputs failed validation";
  const error = promptFault("prompt_outputs_failed_validation", message, { details: texts.join("\n") });
  return { isValid: false, error, nodeErrors };
}

function judge(validator: GraphValidator, output: string): Verdict {
  try {
    return validator.validate(output);
  } catch (cause) {
    const verdict = { isValid: false, reasons: [exceptionDuringValidation(asPythonError(cause))] };
    validator.verdicts.set(output, verdict);
    return verdict;
  }
}

/** Names an output under every node with errors that is known so far, whether it depends on that node or not. */
function collectErrors(
  nodeErrors: NodeErrors,
  output: string,
  { validator, graph }: { readonly validator: GraphValidator; readonly graph: Record<string, unknown> },
): void {
  for (const [nodeId, { isValid, reasons }] of validator.verdicts) {
    if (isValid || reasons.length === 0) continue;
    const node = graph[nodeId];
    const classType = isObject(node) ? pythonStr(node["class_type"]) : "";
    nodeErrors[nodeId] ??= { errors: [...reasons], dependent_outputs: [], class_type: classType };
    nodeErrors[nodeId].dependent_outputs.push(output);
  }
}
