import type { DynamicGraph } from "./DynamicGraph.ts";
import { isLink } from "./graph.ts";

/** What the list has to know of the nodes. */
export interface NodeFacts {
  readonly isCached: (nodeId: string) => boolean;
  readonly isLazy: (nodeId: string, input: string) => boolean;
  readonly isOutput: (nodeId: string) => boolean;
  readonly isAsync: (nodeId: string) => boolean;
}

/** What to do next: run a node, or give up because the rest waits for itself. */
export type Staged =
  | { readonly kind: "node"; readonly nodeId: string }
  | { readonly kind: "cycle"; readonly nodeId: string };

/**
 * The nodes that are still to run and what each waits for (comfy_execution/graph.py ExecutionList). The order in which
 * ready nodes are taken is part of what clients see: outputs and async nodes first, then what leads to an output.
 */
export class ExecutionList {
  readonly #graph: DynamicGraph;
  readonly #facts: NodeFacts;
  /** Node → how many things it waits for, in the order in which the nodes were added. */
  readonly #waitsFor = new Map<string, number>();
  /** Node → the nodes that wait for it. */
  readonly #waiters = new Map<string, Set<string>>();
  #running = 0;
  #wake: (() => void) | undefined;

  constructor(graph: DynamicGraph, facts: NodeFacts) {
    this.#graph = graph;
    this.#facts = facts;
  }

  get isEmpty(): boolean {
    return this.#waitsFor.size === 0;
  }

  /** Adds a node and all that it depends on, except what is cached or only lazily needed. */
  add(nodeId: string): void {
    const links: [from: string, to: string][] = [];
    const stack = [nodeId];
    for (let id = stack.pop(); id !== undefined; id = stack.pop()) {
      if (this.#waitsFor.has(id)) continue;
      this.#waitsFor.set(id, 0);
      this.#waiters.set(id, new Set());
      for (const [input, value] of Object.entries(this.#graph.node(id).inputs)) {
        if (!isLink(value) || this.#facts.isLazy(id, input)) continue;
        if (!this.#facts.isCached(value[0])) stack.push(value[0]);
        links.push([value[0], id]);
      }
    }
    for (const [from, to] of links) this.require(from, to);
  }

  /** Makes `to` wait for `from`. */
  require(from: string, to: string): void {
    if (this.#facts.isCached(from)) return;
    this.add(from);
    const waiters = this.#waiters.get(from);
    if (!waiters || waiters.has(to)) return;
    waiters.add(to);
    this.#waitsFor.set(to, (this.#waitsFor.get(to) ?? 0) + 1);
  }

  /** Keeps a node back until the returned function is called: it runs beside others. */
  holdBack(nodeId: string): () => void {
    this.#running++;
    this.#waitsFor.set(nodeId, (this.#waitsFor.get(nodeId) ?? 0) + 1);
    return () => {
      this.#running--;
      this.#waitsFor.set(nodeId, (this.#waitsFor.get(nodeId) ?? 1) - 1);
      this.#wake?.();
    };
  }

  /** The next node to run; waits when all that is left depends on nodes which run already. */
  async stage(): Promise<Staged> {
    for (;;) {
      const ready = [...this.#waitsFor].filter(([, count]) => count === 0).map(([nodeId]) => nodeId);
      const next = this.#choose(ready);
      if (next !== undefined) return { kind: "node", nodeId: next };
      if (this.#running === 0) return { kind: "cycle", nodeId: this.#blamed() };
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Takes a finished node off the list. */
  complete(nodeId: string): void {
    this.#waitsFor.delete(nodeId);
    for (const waiter of this.#waiters.get(nodeId) ?? []) {
      this.#waitsFor.set(waiter, (this.#waitsFor.get(waiter) ?? 1) - 1);
    }
    this.#waiters.delete(nodeId);
  }

  #choose(ready: readonly string[]): string | undefined {
    const { isOutput, isAsync } = this.#facts;
    const waitersOf = (nodeId: string): string[] => [...(this.#waiters.get(nodeId) ?? [])];
    return (
      ready.find((nodeId) => isOutput(nodeId) || isAsync(nodeId)) ??
      ready.find((nodeId) => waitersOf(nodeId).some(isOutput)) ??
      ready.find((nodeId) => waitersOf(nodeId).some((waiter) => waitersOf(waiter).some(isOutput))) ??
      ready[0]
    );
  }

  /** The first node that was added while running: the submitted ones were checked before. */
  #blamed(): string {
    const left = [...this.#waitsFor.keys()];
    const added = left.find((nodeId) => this.#graph.parentOf(nodeId) !== null);
    return added === undefined ? (left[0] ?? "") : this.#graph.displayIdOf(added);
  }
}
