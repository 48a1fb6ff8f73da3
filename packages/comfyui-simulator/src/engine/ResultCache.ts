import { createHash, randomUUID } from "node:crypto";
import type { Folders } from "../files/Folders.ts";
import type { NodeClass } from "../nodes/NodeClass.ts";
import type { NodeRegistry } from "../nodes/NodeRegistry.ts";
import type { DynamicGraph } from "./DynamicGraph.ts";
import { isLink } from "./graph.ts";

/** What a node left behind. */
export interface NodeOutcome {
  readonly outputs: readonly unknown[];
  /** What history shows, with its meta; undefined when the node has no UI data. */
  readonly ui: NodeUi | undefined;
}

/** A node's UI data as it stands in history. */
export interface NodeUi {
  readonly output: Readonly<Record<string, readonly unknown[]>>;
  readonly meta: { node_id: string; display_node: string; parent_node: string | null; real_node_id: string };
}

/** `ram` keeps results of earlier, different prompts; `classic` only those that the next prompt needs too. */
export type CacheMode = "ram" | "classic" | "none";

/** Few enough that the pictures among them do not fill the memory. */
const MOST_RESULTS = 300;

/**
 * Results by what they depend on: class, constants, fingerprint, and the same of all ancestors, but not node ids
 * (comfy_execution/caching.py; reference/comfyui-protocol.md §3.3).
 */
export class ResultCache {
  readonly #mode: CacheMode;
  readonly #results = new Map<string, NodeOutcome>();

  constructor(mode: CacheMode) {
    this.#mode = mode;
  }

  /** What a prompt needs of the cache. `classic` forgets here what the prompt does not contain. */
  forPrompt(keys: CacheKeys, nodeIds: readonly string[]): PromptCache {
    if (this.#mode === "classic") {
      const wanted = new Set(nodeIds.map((nodeId) => keys.of(nodeId)));
      for (const key of this.#results.keys()) if (!wanted.has(key)) this.#results.delete(key);
    }
    const own = this.#mode === "none" ? new Map<string, NodeOutcome>() : this.#results;
    return new PromptCache(own, keys);
  }

  clear(): void {
    this.#results.clear();
  }
}

/** The cache as the nodes of one prompt see it. */
export class PromptCache {
  readonly #results: Map<string, NodeOutcome>;
  readonly #keys: CacheKeys;

  constructor(results: Map<string, NodeOutcome>, keys: CacheKeys) {
    this.#results = results;
    this.#keys = keys;
  }

  get(nodeId: string): NodeOutcome | undefined {
    return this.#results.get(this.#keys.of(nodeId));
  }

  set(nodeId: string, outcome: NodeOutcome): void {
    const key = this.#keys.of(nodeId);
    this.#results.delete(key); // so that it counts as the newest
    this.#results.set(key, outcome);
    const [oldest] = this.#results.keys();
    if (this.#results.size > MOST_RESULTS && oldest !== undefined) this.#results.delete(oldest);
  }
}

const neverTwice = (): string => randomUUID();

/** The cache keys of one prompt's nodes, each worked out once: a file that changes meanwhile does not change them. */
export class CacheKeys {
  readonly #graph: DynamicGraph;
  readonly #nodes: NodeRegistry;
  readonly #folders: Folders;
  readonly #known = new Map<string, string>();

  constructor(graph: DynamicGraph, nodes: NodeRegistry, folders: Folders) {
    this.#graph = graph;
    this.#nodes = nodes;
    this.#folders = folders;
  }

  of(nodeId: string): string {
    const known = this.#known.get(nodeId);
    if (known !== undefined) return known;
    this.#known.set(nodeId, `in a cycle with ${nodeId}`); // is replaced below, except for a cycle's own links
    const key = this.#graph.has(nodeId) ? this.#compute(nodeId) : neverTwice();
    this.#known.set(nodeId, key);
    return key;
  }

  #compute(nodeId: string): string {
    const node = this.#graph.node(nodeId);
    const nodeClass = this.#nodes.get(node.class_type);
    const entries = Object.entries(node.inputs).sort(([one], [other]) => (one < other ? -1 : 1));
    const constants = Object.fromEntries(entries.filter(([, value]) => !isLink(value)));
    const parent = this.#graph.parentOf(nodeId);
    const parts = [
      node.class_type,
      nodeClass?.fingerprint ? this.#fingerprint(nodeClass.fingerprint, constants) : null,
      nodeClass?.usesNodeId || parent !== null ? nodeId : null,
      parent === null ? null : this.of(parent),
      entries.map(([name, value]) => [name, isLink(value) ? { from: this.of(value[0]), slot: value[1] } : value]),
    ];
    return createHash("sha256").update(JSON.stringify(parts)).digest("hex");
  }

  #fingerprint(fingerprint: NonNullable<NodeClass["fingerprint"]>, constants: Record<string, unknown>): string {
    try {
      return fingerprint(constants, this.#folders) ?? neverTwice();
    } catch {
      return neverTwice(); // ComfyUI takes NaN then, which equals nothing
    }
  }
}
