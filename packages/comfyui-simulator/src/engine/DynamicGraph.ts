import { PythonError } from "@comfyq/comfyui/wire";
import type { Graph, GraphNode } from "./graph.ts";

/**
 * The graph of one prompt together with the nodes that expanding nodes add while it runs
 * (comfy_execution/graph.py DynamicPrompt).
 */
export class DynamicGraph {
  readonly original: Graph;
  readonly #added = new Map<string, { readonly node: GraphNode; readonly parent: string }>();

  constructor(original: Graph) {
    this.original = original;
  }

  has(nodeId: string): boolean {
    return this.#added.has(nodeId) || Object.hasOwn(this.original, nodeId);
  }

  /** @throws PythonError when there is no such node */
  node(nodeId: string): GraphNode {
    const node =
      this.#added.get(nodeId)?.node ?? (Object.hasOwn(this.original, nodeId) ? this.original[nodeId] : undefined);
    if (!node) throw new PythonError("comfy_execution.graph.NodeNotFoundError", `Node ${nodeId} not found`);
    return node;
  }

  /** Adds a node in place of `parent`, which shows the new one's progress as its own. */
  add(nodeId: string, node: GraphNode, parent: string): void {
    this.#added.set(nodeId, { node, parent });
  }

  parentOf(nodeId: string): string | null {
    return this.#added.get(nodeId)?.parent ?? null;
  }

  /** The node of the submitted graph in whose place this one runs; itself when it was submitted. */
  displayIdOf(nodeId: string): string {
    const parent = this.parentOf(nodeId);
    return parent === null ? nodeId : this.displayIdOf(parent);
  }

  allIds(): readonly string[] {
    return [...Object.keys(this.original), ...this.#added.keys()];
  }
}
