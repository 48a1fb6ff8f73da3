import type { Client } from "./client.ts";
import { isComfyError } from "./errors.ts";
import type { Found, Submission } from "./face.ts";
import { readObjectInfo } from "./readObjectInfo.ts";
import { HistoryPrompt, type NodeErrors, Workflow } from "./wire/index.ts";

/**
 * The output nodes of a submitted graph that do not run. ComfyUI drops invalid outputs when another one is valid, and says
 * so only in the answer to the submission (§1.1). Who has lost that answer sees it from this: a node of an output class that
 * is not among the outputs to execute.
 * @throws ComfyError `unreachable` | `busy` when the server cannot be asked what its classes are
 */
export async function droppedOutputs(
  found: Found,
  { onlyOutputs, signal }: Pick<Submission, "onlyOutputs" | "signal">,
  client: Client,
): Promise<NodeErrors> {
  const { workflow, outputNodeIds } = planOf(found);
  if (outputNodeIds.length === 0) return {}; // a server that does not tell
  const dropped: NodeErrors = {};
  const isOutputClass = new Map<string, boolean>();
  for (const [id, { class_type }] of Object.entries(workflow)) {
    if (outputNodeIds.includes(id) || onlyOutputs?.includes(id) === false) continue;
    if (!isOutputClass.has(class_type)) isOutputClass.set(class_type, await isOutput(class_type, client, signal));
    if (isOutputClass.get(class_type)) dropped[id] = { errors: [DROPPED], dependent_outputs: [id], class_type };
  }
  return dropped;
}

const DROPPED = {
  type: "output_dropped",
  message: "ComfyUI found this output invalid and does not run it",
  details: "the reason stood in an answer that was lost; submit the workflow again to read it",
  extra_info: {},
};

async function isOutput(classType: string, { http, limits }: Client, signal?: AbortSignal): Promise<boolean> {
  const { requestTimeoutMs } = limits;
  try {
    const info = await readObjectInfo(classType, { http, signal, requestTimeoutMs });
    return info[classType]?.output_node === true;
  } catch (error) {
    if (isComfyError(error, "protocol", "not_found")) return false; // a custom node that cannot describe itself
    throw error;
  }
}

function planOf(found: Found): { readonly workflow: Workflow; readonly outputNodeIds: readonly string[] } {
  if (found.kind === "finished") {
    const prompt = HistoryPrompt.safeParse(found.entry.prompt).data;
    return { workflow: Workflow.safeParse(prompt?.[2]).data ?? {}, outputNodeIds: prompt?.[4] ?? [] };
  }
  return ("item" in found ? found.item : undefined) ?? { workflow: {}, outputNodeIds: [] };
}
