import { isObject } from "@comfyq/comfyui/wire";
import type { SimulatorClock } from "./clock.ts";
import type { QueuedPrompt } from "./engine/PromptQueue.ts";
import type { HistoryFacts, HistoryFile } from "./HistoryFile.ts";

/** What the simulator has seen of one prompt id. Times are monotonic ms of {@link SimulatorStats.monotonicNowMs}'s clock. */
export interface PromptStats {
  readonly promptId: string;
  /** Whose it is, when its submitter said so in `extra_data.comfyq`. */
  readonly job?: string;
  readonly epoch?: number;
  /** How often it was submitted and accepted. */
  readonly submitted: number;
  /** How often its execution has started. */
  readonly started: number;
  /** How often it was taken from the queue before it started. */
  readonly removed: number;
  /** When its request came, the first time. */
  readonly arrivedAtMs: number;
  readonly acceptedAtMs: number;
  readonly executionStartAtMs?: number;
  readonly executionEndAtMs?: number;
  /** Time executing, over all executions, the present one included: what it has cost of the GPU. */
  readonly busyMs: number;
  /** Of the last execution that is over. `lost`: the server or its worker thread died meanwhile. */
  readonly outcome?: "success" | "error" | "interrupted" | "lost";
}

type Page = { -readonly [Key in keyof PromptStats]: PromptStats[Key] };

/** Keeps account of every prompt, over restarts, and writes what happens to it into the history. */
export class PromptBook {
  readonly #clock: SimulatorClock;
  readonly #history: HistoryFile;
  readonly #pages = new Map<string, Page>();
  /** The prompts that are executing, and since when. */
  readonly #runningSinceMs = new Map<string, number>();

  constructor(clock: SimulatorClock, history: HistoryFile) {
    this.#clock = clock;
    this.#history = history;
  }

  accepted(prompt: QueuedPrompt, arrivedAtMs: number): void {
    const page = this.#pages.get(prompt.promptId);
    if (page) page.submitted++;
    else {
      this.#pages.set(prompt.promptId, {
        promptId: prompt.promptId,
        ...originOf(prompt),
        submitted: 1,
        started: 0,
        removed: 0,
        arrivedAtMs,
        acceptedAtMs: this.#clock.monotonicMs(),
        busyMs: 0,
      });
    }
    this.#note("queued", prompt);
  }

  started(prompt: QueuedPrompt): void {
    const page = this.#pages.get(prompt.promptId);
    const nowMs = this.#clock.monotonicMs();
    this.#runningSinceMs.set(prompt.promptId, nowMs);
    if (page) {
      page.started++;
      page.executionStartAtMs = nowMs;
    }
    this.#note("started", prompt);
  }

  ended(prompt: QueuedPrompt, outcome: "success" | "error" | "interrupted"): void {
    this.#stop(prompt, outcome);
    this.#note("ended", prompt, { status: outcome });
  }

  /** It was pending and is not any more, and will not run. */
  removed(prompt: QueuedPrompt): void {
    const page = this.#pages.get(prompt.promptId);
    if (page) page.removed++;
    this.#note("removed", prompt);
  }

  /** The worker thread died: nothing computes any more. The prompt it ran is shown as running for ever. */
  workerDied(prompt: QueuedPrompt | undefined): void {
    if (prompt) {
      this.#stop(prompt, "lost");
      this.#note("worker_died", prompt);
    } else this.#history.note("worker_died", { prompt: null });
  }

  /** The process ended with these prompts in its memory. */
  crashed(running: readonly QueuedPrompt[], pending: readonly QueuedPrompt[]): void {
    for (const prompt of running) if (this.#runningSinceMs.has(prompt.promptId)) this.#stop(prompt, "lost");
    for (const prompt of pending) this.removed(prompt);
    if (running.length === 0) this.#history.note("crashed", { prompt: null });
    for (const prompt of running) this.#note("crashed", prompt);
  }

  snapshot(): PromptStats[] {
    const nowMs = this.#clock.monotonicMs();
    return [...this.#pages.values()].map((page) => {
      const sinceMs = this.#runningSinceMs.get(page.promptId);
      return sinceMs === undefined ? { ...page } : { ...page, busyMs: page.busyMs + nowMs - sinceMs };
    });
  }

  #stop({ promptId }: QueuedPrompt, outcome: NonNullable<PromptStats["outcome"]>): void {
    const page = this.#pages.get(promptId);
    const nowMs = this.#clock.monotonicMs();
    const sinceMs = this.#runningSinceMs.get(promptId) ?? nowMs;
    this.#runningSinceMs.delete(promptId);
    if (!page) return;
    page.executionEndAtMs = nowMs;
    page.busyMs += nowMs - sinceMs;
    page.outcome = outcome;
  }

  #note(op: string, prompt: QueuedPrompt, facts: HistoryFacts = {}): void {
    this.#history.note(op, { prompt: prompt.promptId, ...originOf(prompt), ...facts });
  }
}

/** `extra_data.comfyq` is `{job_id, epoch}`, as comfyq's workers write it. */
function originOf({ extraData }: QueuedPrompt): { readonly job?: string; readonly epoch?: number } {
  const { job_id: job, epoch } = isObject(extraData["comfyq"]) ? extraData["comfyq"] : {};
  return { ...(typeof job === "string" ? { job } : {}), ...(typeof epoch === "number" ? { epoch } : {}) };
}
