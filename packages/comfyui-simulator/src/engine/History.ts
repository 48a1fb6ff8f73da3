import type { PromptTuple } from "./PromptQueue.ts";
import type { NodeUi } from "./ResultCache.ts";

/** One finished prompt, as `GET /history` shows it (reference/comfyui-protocol.md §1.3). */
export interface HistoryRecord {
  readonly prompt: PromptTuple;
  readonly outputs: Readonly<Record<string, NodeUi["output"]>>;
  readonly status: {
    readonly status_str: "success" | "error";
    readonly completed: boolean;
    readonly messages: readonly (readonly [string, Readonly<Record<string, unknown>>])[];
  };
  readonly meta: Readonly<Record<string, NodeUi["meta"]>>;
}

/** The oldest entry goes when there are more than so many: there can be one more (execution.py MAXIMUM_HISTORY_SIZE). */
export const HISTORY_CAPACITY = 10_000;

/** Finished prompts in the order in which they ended, the oldest first. In memory only. */
export class History {
  readonly #records = new Map<string, HistoryRecord>();

  /** A record of the same id keeps its place and is replaced. */
  add(record: HistoryRecord): void {
    const [oldest] = this.#records.keys();
    if (this.#records.size > HISTORY_CAPACITY && oldest !== undefined) this.#records.delete(oldest);
    this.#records.set(record.prompt[1], record);
  }

  get(promptId: string): HistoryRecord | undefined {
    return this.#records.get(promptId);
  }

  entries(): readonly (readonly [string, HistoryRecord])[] {
    return [...this.#records];
  }

  /** Without an offset the newest `maxItems`, with one so many from there on, the oldest being 0. */
  page(maxItems: number | undefined, offset: number): Record<string, HistoryRecord> {
    const start = offset < 0 && maxItems !== undefined ? this.#records.size - maxItems : offset;
    const found = this.entries().slice(Math.max(0, start));
    // ComfyUI looks at the limit only after it has added an entry.
    return Object.fromEntries(maxItems === undefined ? found : found.slice(0, Math.max(1, maxItems)));
  }

  delete(promptId: unknown): void {
    if (typeof promptId === "string") this.#records.delete(promptId);
  }

  clear(): void {
    this.#records.clear();
  }
}
