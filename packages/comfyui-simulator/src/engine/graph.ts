/** One node of a submitted graph, as `POST /prompt` takes it. */
export interface GraphNode {
  readonly class_type: string;
  readonly inputs: Record<string, unknown>;
}

/** Node id → node. JavaScript puts ids that look like whole numbers first, in ascending order; Python does not. */
export type Graph = Record<string, GraphNode>;

/** `[node id, slot]`: the output of another node. */
export type Link = readonly [nodeId: string, slot: number];

/** Whether an input is taken from another node (comfy_execution/graph_utils.py is_link). */
export function isLink(value: unknown): value is Link {
  return Array.isArray(value) && value.length === 2 && typeof value[0] === "string" && typeof value[1] === "number";
}
