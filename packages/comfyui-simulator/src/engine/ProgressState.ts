import type { NodeProgress } from "@comfyq/comfyui/wire";
import type { DynamicGraph } from "./DynamicGraph.ts";

/**
 * How far the nodes of one prompt are (comfy_execution/progress.py): cumulative, only nodes that were touched, never
 * `pending`, never `error`.
 */
export class ProgressState {
  readonly #promptId: string;
  readonly #graph: DynamicGraph;
  readonly #nodes = new Map<string, NodeProgress>();

  constructor(promptId: string, graph: DynamicGraph) {
    this.#promptId = promptId;
    this.#graph = graph;
  }

  start(nodeId: string): void {
    this.#set(nodeId, { state: "running", value: 0, max: 1 });
  }

  update(nodeId: string, value: number, max: number): void {
    this.#set(nodeId, { state: "running", value, max });
  }

  finish(nodeId: string): void {
    const max = this.#nodes.get(nodeId)?.max ?? 1;
    this.#set(nodeId, { state: "finished", value: max, max });
  }

  /** The content of a `progress_state` frame. */
  snapshot(): { prompt_id: string; nodes: Record<string, NodeProgress> } {
    return { prompt_id: this.#promptId, nodes: Object.fromEntries(this.#nodes) };
  }

  #set(nodeId: string, change: Pick<NodeProgress, "state" | "value" | "max">): void {
    const displayId = this.#graph.displayIdOf(nodeId);
    this.#nodes.set(nodeId, {
      ...change,
      node_id: nodeId,
      prompt_id: this.#promptId,
      display_node_id: displayId,
      parent_node_id: this.#graph.parentOf(nodeId),
      real_node_id: displayId,
    });
  }
}
