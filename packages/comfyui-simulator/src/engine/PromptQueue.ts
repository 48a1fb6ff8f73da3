import { PythonError } from "@comfyq/comfyui/wire";
import type { Graph } from "./graph.ts";
import { Heap } from "./Heap.ts";

/** One accepted prompt. */
export interface QueuedPrompt {
  readonly number: number;
  readonly promptId: string;
  readonly graph: Graph;
  /** Without secrets when the version hides them. */
  readonly extraData: Readonly<Record<string, unknown>>;
  /** Secrets, for the execution only. */
  readonly secrets: Readonly<Record<string, unknown>>;
  readonly outputs: readonly string[];
}

/** How `GET /queue` and history show a prompt. */
export type PromptTuple = [
  number: number,
  promptId: string,
  graph: Graph,
  extraData: unknown,
  outputs: readonly string[],
];

export const toTuple = (prompt: QueuedPrompt): PromptTuple => [
  prompt.number,
  prompt.promptId,
  prompt.graph,
  prompt.extraData,
  prompt.outputs,
];

/** Things to do between two prompts (`POST /free`). */
export interface WorkerFlags {
  readonly unloadModels: boolean;
  readonly freeMemory: boolean;
}

const NO_FLAGS: WorkerFlags = { unloadModels: false, freeMemory: false };

/** Whom a queue tells. */
export interface QueueWitness {
  /** Called wherever ComfyUI sends `status`. */
  readonly onChange: () => void;
  /** Called for each pending prompt that is taken away. */
  readonly onRemoved: (prompt: QueuedPrompt) => void;
}

/** Pending and running prompts (execution.py PromptQueue). */
export class PromptQueue {
  readonly #pending = new Heap<QueuedPrompt>(isBefore);
  readonly #running = new Set<QueuedPrompt>();
  readonly #witness: QueueWitness;
  #flags = NO_FLAGS;
  #wake: (() => void) | undefined;

  constructor(witness: QueueWitness) {
    this.#witness = witness;
  }

  get pending(): readonly QueuedPrompt[] {
    return this.#pending.items;
  }

  get running(): readonly QueuedPrompt[] {
    return [...this.#running];
  }

  get remaining(): number {
    return this.#pending.items.length + this.#running.size;
  }

  /** @throws PythonError when number and id equal those of a pending prompt; it is queued nevertheless */
  put(prompt: QueuedPrompt): void {
    this.#pending.push(prompt, isBeforeOrThrow);
    this.#witness.onChange();
    this.#wake?.();
  }

  /** Moves the next prompt from pending to running. */
  take(): QueuedPrompt | undefined {
    const prompt = this.#pending.pop();
    if (!prompt) return undefined;
    this.#running.add(prompt);
    this.#witness.onChange();
    return prompt;
  }

  /** Ends a running prompt; `record` writes its history before the others are told. */
  done(prompt: QueuedPrompt, record: () => void): void {
    this.#running.delete(prompt);
    record();
    this.#witness.onChange();
  }

  wipe(): void {
    for (const prompt of this.pending) this.#witness.onRemoved(prompt);
    this.#pending.reset([]);
    this.#witness.onChange();
  }

  /** Removes the first pending prompt with this id; false when there is none. The last one is announced twice. */
  delete(promptId: unknown): boolean {
    const at = this.pending.findIndex((prompt) => prompt.promptId === promptId);
    if (at < 0) return false;
    if (this.pending.length === 1) this.wipe();
    else {
      for (const prompt of this.pending.slice(at, at + 1)) this.#witness.onRemoved(prompt);
      this.#pending.reset(this.pending.filter((_, index) => index !== at));
    }
    this.#witness.onChange();
    return true;
  }

  setFlags(flags: WorkerFlags): void {
    this.#flags = {
      unloadModels: this.#flags.unloadModels || flags.unloadModels,
      freeMemory: this.#flags.freeMemory || flags.freeMemory,
    };
    this.#wake?.();
  }

  takeFlags(): WorkerFlags {
    const flags = this.#flags;
    this.#flags = NO_FLAGS;
    return flags;
  }

  /** Resolves when there is a prompt or a flag, or when the signal aborts. */
  async waitForWork(signal: AbortSignal): Promise<void> {
    if (this.pending.length > 0 || this.#flags.freeMemory || this.#flags.unloadModels || signal.aborted) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
    this.#wake = undefined;
  }
}

function isBefore(one: QueuedPrompt, other: QueuedPrompt): boolean {
  return one.number === other.number ? one.promptId < other.promptId : one.number < other.number;
}

/** Python goes on to compare the graphs of two such prompts, which it cannot. */
function isBeforeOrThrow(one: QueuedPrompt, other: QueuedPrompt): boolean {
  if (one.number === other.number && one.promptId === other.promptId) {
    throw new PythonError("TypeError", "'<' not supported between instances of 'dict' and 'dict'");
  }
  return isBefore(one, other);
}
