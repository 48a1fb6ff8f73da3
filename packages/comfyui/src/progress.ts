import type { PromptProgress } from "./face.ts";
import type { PromptFrame } from "./frames.ts";
import { classOf, type PromptGraph } from "./graph.ts";
import type { NodeProgress } from "./wire/index.ts";

/** What the frames of one prompt add up to. */
export interface ProgressState {
  readonly graph: PromptGraph;
  readonly done: ReadonlySet<string>;
  readonly cached: ReadonlySet<string>;
  readonly current: { readonly nodeId: string; readonly value: number; readonly max: number } | undefined;
  /** Servers before 0.3.44 send no `progress_state`; there a node is done when the next one begins. */
  readonly hasNodeStates: boolean;
}

/** Nothing done yet. */
export function startProgress(graph: PromptGraph): ProgressState {
  return { graph, done: new Set(), cached: new Set(), current: undefined, hasNodeStates: false };
}

/** Adds one frame. Returns the same object when the frame says nothing new. Nodes never become undone. */
export function applyFrame(state: ProgressState, frame: PromptFrame): ProgressState {
  if (frame.type === "executed") return withDone(state, [frame.data.node]);
  if (frame.type === "progress_state") return applyNodeStates(state, Object.values(frame.data.nodes));
  if (frame.type === "executing" && frame.data.node !== null)
    return begin(state, frame.data.display_node ?? frame.data.node);
  if (frame.type === "progress" && frame.data.node) {
    const nodeId = state.graph.classes.has(frame.data.node) ? frame.data.node : state.current?.nodeId;
    return at(state, nodeId ?? frame.data.node, frame.data); // a node that expansion made counts steps for its parent
  }
  if (frame.type !== "execution_cached") return state;
  const cached = frame.data.nodes.filter((id) => state.graph.needed.has(id));
  return cached.length === 0 ? state : { ...withDone(state, cached), cached: new Set([...state.cached, ...cached]) };
}

function applyNodeStates(state: ProgressState, nodes: readonly NodeProgress[]): ProgressState {
  const finished = nodes.filter((node) => node.state === "finished").map((node) => node.node_id);
  const running = nodes.findLast((node) => node.state === "running");
  const next = { ...withDone(state, finished), hasNodeStates: true };
  return running ? at(next, running.display_node_id, running) : next;
}

/** The state as callers see it. */
export function snapshot({ graph, done, cached, current }: ProgressState): PromptProgress {
  const counts = { nodesTotal: graph.needed.size, nodesDone: done.size, nodesCached: cached.size };
  if (!current) return counts;
  const { nodeId, value, max } = current;
  return { ...counts, node: { node_id: nodeId, ...classOf(graph, nodeId), value, max } };
}

function begin(state: ProgressState, nodeId: string): ProgressState {
  if (state.current?.nodeId === nodeId) return state;
  const before = state.current && !state.hasNodeStates ? withDone(state, [state.current.nodeId]) : state;
  return at(before, nodeId, { value: 0, max: 1 });
}

function at(state: ProgressState, nodeId: string, { value, max }: { value: number; max: number }): ProgressState {
  const { current } = state;
  if (current?.nodeId === nodeId && current.value === value && current.max === max) return state;
  return { ...state, current: { nodeId, value, max } };
}

/** Nodes that expansion made do not count: the customer did not submit them. */
function withDone(state: ProgressState, nodeIds: readonly string[]): ProgressState {
  const fresh = nodeIds.filter((id) => state.graph.needed.has(id) && !state.done.has(id));
  return fresh.length === 0 ? state : { ...state, done: new Set([...state.done, ...fresh]) };
}
