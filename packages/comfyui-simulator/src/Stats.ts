import type { SimulatorClock } from "./clock.ts";
import type { HistoryFile } from "./HistoryFile.ts";
import { PromptBook, type PromptStats } from "./PromptBook.ts";

/** Answer of `GET /simulator/stats`. */
export interface SimulatorStats {
  readonly monotonicNowMs: number;
  readonly unixNowMs: number;
  /** Added to a monotonic time of the real clock: Unix ms, finer than `unixNowMs`. */
  readonly originUnixMs: number;
  /** Sum of all prompts' busy time. */
  readonly busyMs: number;
  readonly prompts: readonly PromptStats[];
  /** The most prompts that were there at once; `queued` counts running and pending ones together. */
  readonly most: { readonly running: number; readonly pending: number; readonly queued: number };
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
  readonly prompts: PromptBook;
  readonly #clock: SimulatorClock;
  readonly #most = { running: 0, pending: 0, queued: 0 };
  readonly #requests = new Map<string, number>();
  readonly #loads = new Map<string, number>();
  readonly #uploads = { count: 0, bytes: 0 };
  readonly #views = { count: 0, bytes: 0 };
  readonly #websockets = { opened: 0, open: 0 };
  #nodesExecuted = 0;
  #restarts = 0;

  constructor(clock: SimulatorClock, history: HistoryFile) {
    this.#clock = clock;
    this.prompts = new PromptBook(clock, history);
  }

  queueIs(running: number, pending: number): void {
    this.#most.running = Math.max(this.#most.running, running);
    this.#most.pending = Math.max(this.#most.pending, pending);
    this.#most.queued = Math.max(this.#most.queued, running + pending);
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
    const prompts = this.prompts.snapshot();
    return {
      monotonicNowMs: this.#clock.monotonicMs(),
      unixNowMs: this.#clock.nowMs(),
      originUnixMs: performance.timeOrigin,
      busyMs: prompts.reduce((sum, { busyMs }) => sum + busyMs, 0),
      prompts,
      most: { ...this.#most },
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
