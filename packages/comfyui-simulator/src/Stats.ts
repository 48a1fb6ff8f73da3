import type { SimulatorClock } from "./clock.ts";

/** What the simulator has seen of one prompt id. Times are monotonic ms of {@link SimulatorStats.monotonicNowMs}'s clock. */
export interface PromptStats {
  readonly promptId: string;
  /** How often it was submitted and accepted. */
  submitted: number;
  /** How often its execution has started. */
  started: number;
  acceptedAtMs: number;
  executionStartAtMs?: number;
  executionEndAtMs?: number;
  /** Between start and end, over all executions. */
  busyMs: number;
  outcome?: "success" | "error" | "interrupted";
}

/** Answer of `GET /simulator/stats`. */
export interface SimulatorStats {
  readonly monotonicNowMs: number;
  readonly unixNowMs: number;
  /** Sum of all prompts' busy time. */
  readonly busyMs: number;
  readonly prompts: readonly PromptStats[];
  readonly uploads: { readonly count: number; readonly bytes: number };
  readonly views: { readonly count: number; readonly bytes: number };
  /** Requests by `METHOD /path`, ids replaced by `:id`. */
  readonly requests: Readonly<Record<string, number>>;
  readonly websockets: { readonly opened: number; readonly open: number };
  readonly nodesExecuted: number;
  /** How often a model had to be loaded, by name. */
  readonly modelLoads: Readonly<Record<string, number>>;
  readonly restarts: number;
}

/** Counts what happens, over restarts. */
export class Stats {
  readonly #clock: SimulatorClock;
  readonly #prompts = new Map<string, PromptStats>();
  readonly #requests = new Map<string, number>();
  readonly #loads = new Map<string, number>();
  readonly #uploads = { count: 0, bytes: 0 };
  readonly #views = { count: 0, bytes: 0 };
  readonly #websockets = { opened: 0, open: 0 };
  #nodesExecuted = 0;
  #restarts = 0;

  constructor(clock: SimulatorClock) {
    this.#clock = clock;
  }

  accepted(promptId: string): void {
    const prompt = this.#prompts.get(promptId);
    if (prompt) prompt.submitted++;
    else {
      const acceptedAtMs = this.#clock.monotonicMs();
      this.#prompts.set(promptId, { promptId, submitted: 1, started: 0, acceptedAtMs, busyMs: 0 });
    }
  }

  started(promptId: string): void {
    const prompt = this.#prompts.get(promptId);
    if (!prompt) return;
    prompt.started++;
    prompt.executionStartAtMs = this.#clock.monotonicMs();
  }

  ended(promptId: string, outcome: NonNullable<PromptStats["outcome"]>): void {
    const prompt = this.#prompts.get(promptId);
    if (!prompt) return;
    prompt.executionEndAtMs = this.#clock.monotonicMs();
    prompt.busyMs += prompt.executionEndAtMs - (prompt.executionStartAtMs ?? prompt.executionEndAtMs);
    prompt.outcome = outcome;
  }

  nodeExecuted(): void {
    this.#nodesExecuted++;
  }

  modelLoaded(name: string): void {
    this.#loads.set(name, (this.#loads.get(name) ?? 0) + 1);
  }

  request(route: string): void {
    this.#requests.set(route, (this.#requests.get(route) ?? 0) + 1);
  }

  uploaded(bytes: number): void {
    this.#uploads.count++;
    this.#uploads.bytes += bytes;
  }

  viewed(bytes: number): void {
    this.#views.count++;
    this.#views.bytes += bytes;
  }

  websocketOpened(): void {
    this.#websockets.opened++;
    this.#websockets.open++;
  }

  websocketClosed(): void {
    this.#websockets.open--;
  }

  restarted(): void {
    this.#restarts++;
  }

  snapshot(): SimulatorStats {
    const prompts = [...this.#prompts.values()].map((prompt) => ({ ...prompt }));
    return {
      monotonicNowMs: this.#clock.monotonicMs(),
      unixNowMs: this.#clock.nowMs(),
      busyMs: prompts.reduce((sum, { busyMs }) => sum + busyMs, 0),
      prompts,
      uploads: { ...this.#uploads },
      views: { ...this.#views },
      requests: Object.fromEntries(this.#requests),
      websockets: { ...this.#websockets },
      nodesExecuted: this.#nodesExecuted,
      modelLoads: Object.fromEntries(this.#loads),
      restarts: this.#restarts,
    };
  }
}
