import type { InputDeclaration } from "@comfyq/comfyui/wire";
import type { Graph } from "../engine/graph.ts";
import type { NodeContext } from "../engine/NodeContext.ts";
import type { Folders } from "../files/Folders.ts";

/** What a node class takes, in the order in which the frontend shows it. */
export interface InputTable {
  readonly required?: Readonly<Record<string, InputDeclaration>>;
  readonly optional?: Readonly<Record<string, InputDeclaration>>;
  readonly hidden?: Readonly<Record<string, string>>;
}

/** Values by input name: links are resolved, constants are coerced, hidden inputs are left out. */
export type NodeInputs = Readonly<Record<string, unknown>>;

/** What a run of a node returns. */
export interface NodeResult {
  /** One value for each slot. An {@link ExecutionBlocker} keeps what depends on the slot from running. */
  readonly outputs?: readonly unknown[];
  /** What history and the `executed` frame show. */
  readonly ui?: Readonly<Record<string, readonly unknown[]>>;
  /** Nodes to run in this node's place. `outputs` may then hold links into it. */
  readonly expand?: Graph;
}

/** A node class (reference/comfyui-protocol.md §1.6). Nothing in it changes while the server runs. */
export interface NodeClass {
  readonly name: string;
  readonly displayName?: string;
  readonly description?: string;
  readonly category: string;
  /** Where it claims to come from; `nodes` unless told. */
  readonly pythonModule?: string;
  readonly inputs: (folders: Folders) => InputTable;
  readonly outputs: readonly string[];
  readonly outputNames?: readonly string[];
  readonly isOutput?: boolean;
  /** Runs beside other nodes of the same prompt; is not cancelled by an interrupt. */
  readonly isAsync?: boolean;
  /** Its id is part of the cache key, because it takes the hidden input UNIQUE_ID. */
  readonly usesNodeId?: boolean;
  /** Checks constants in its own way; range and list checks are skipped for the inputs named here. */
  readonly validation?: {
    readonly inputs: readonly string[];
    /** true, or what is wrong. */
    readonly check: (inputs: NodeInputs, folders: Folders) => true | string;
  };
  /** Part of the cache key: a change makes the node run again; undefined means "always runs again". */
  readonly fingerprint?: (inputs: NodeInputs, folders: Folders) => string | undefined;
  /** Which lazy inputs are needed, given those that are there. */
  readonly neededInputs?: (inputs: NodeInputs) => readonly string[];
  readonly run: (inputs: NodeInputs, context: NodeContext) => NodeResult | Promise<NodeResult>;
}

/** Returned in a slot: whatever depends on it does not run. With a message, one `execution_error` is sent. */
export class ExecutionBlocker {
  readonly message: string | undefined;

  constructor(message?: string) {
    this.message = message;
  }
}
