import type { QueuedPrompt } from "./face.ts";
import { type HistoryEntry, HistoryPrompt, Workflow } from "./wire/index.ts";

/** The nodes of one prompt that may run. */
export interface PromptGraph {
  /** Node id → class. */
  readonly classes: ReadonlyMap<string, string>;
  /** What the output nodes need, themselves included: the nodes that count for progress. */
  readonly needed: ReadonlySet<string>;
}

/** Of a prompt in the queue. */
export function graphOfItem({ workflow, outputNodeIds }: QueuedPrompt): PromptGraph {
  return graphOf(workflow, outputNodeIds);
}

/** Of a graph that was submitted, all its nodes. */
export function graphOfWorkflow(workflow: Workflow): PromptGraph {
  return graphOf(workflow, []);
}

/** Of a finished prompt; without nodes on servers whose history does not show the graph. */
export function graphOfEntry(entry: HistoryEntry): PromptGraph {
  const prompt = HistoryPrompt.safeParse(entry.prompt).data;
  return graphOf(Workflow.safeParse(prompt?.[2]).data ?? {}, prompt?.[4] ?? []);
}

/** The class of a node, as a field to spread; nothing for nodes that expansion made. */
export function classOf({ classes }: PromptGraph, nodeId: string): { class_type?: string } {
  const class_type = classes.get(nodeId);
  return class_type === undefined ? {} : { class_type };
}

function graphOf(workflow: Workflow, outputNodeIds: readonly string[]): PromptGraph {
  const classes = new Map(Object.entries(workflow).map(([id, node]) => [id, node.class_type]));
  const needed = outputNodeIds.length > 0 ? reachable(workflow, outputNodeIds) : new Set(classes.keys());
  return { classes, needed };
}

function reachable(workflow: Workflow, from: readonly string[]): ReadonlySet<string> {
  const seen = new Set<string>();
  const open = [...from];
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    const node = workflow[id];
    if (!node || seen.has(id)) continue;
    seen.add(id);
    for (const value of Object.values(node.inputs ?? {})) {
      // A link is [nodeId, slot] (§1.1).
      if (Array.isArray(value) && value.length === 2 && typeof value[0] === "string") open.push(value[0]);
    }
  }
  return seen;
}
