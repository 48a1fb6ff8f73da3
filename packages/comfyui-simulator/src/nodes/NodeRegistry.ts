import type { NodeClass } from "./NodeClass.ts";

/** The node classes a server has, by name. */
export class NodeRegistry {
  readonly #classes: ReadonlyMap<string, NodeClass>;

  /** Later classes replace earlier ones of the same name. */
  constructor(classes: readonly NodeClass[]) {
    this.#classes = new Map(classes.map((nodeClass) => [nodeClass.name, nodeClass]));
  }

  get(name: string): NodeClass | undefined {
    return this.#classes.get(name);
  }

  all(): readonly NodeClass[] {
    return [...this.#classes.values()];
  }
}
