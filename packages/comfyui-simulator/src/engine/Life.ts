import type { Fault, Stage } from "../faults/Fault.ts";
import type { Occasion } from "../faults/FaultBoard.ts";
import { OutputFiles } from "../files/OutputFiles.ts";
import type { EngineParts } from "./EngineParts.ts";
import { LifeEnded, WorkerDeath } from "./endings.ts";
import { History } from "./History.ts";
import { InterruptFlag } from "./Interrupt.ts";
import { PromptQueue, type QueuedPrompt } from "./PromptQueue.ts";
import { PromptRun } from "./PromptRun.ts";
import { ResultCache } from "./ResultCache.ts";
import { ServerLog } from "./ServerLog.ts";

/** How often a deaf prompt looks whether it hears again. */
const DEAF_LOOK_MS = 20;

/** Carries out the staged faults that concern more than the engine. */
export type FaultAct = (fault: Fault) => void;

/**
 * One life of a ComfyUI process: everything it keeps in memory and loses when it ends, and its worker thread
 * (main.py prompt_worker). One prompt at a time.
 */
export class Life {
  readonly parts: EngineParts;
  readonly queue: PromptQueue;
  readonly history = new History();
  readonly interrupt = new InterruptFlag();
  readonly cache: ResultCache;
  readonly files: OutputFiles;
  readonly log: ServerLog;
  /** Whose prompt runs now or ran last; stays until the next one starts. */
  clientId: unknown;
  /** The node that runs now, as shown to a client that reconnects. */
  lastNodeId: string | undefined;
  /** Counts submissions without a number, refused ones too. */
  counter = 0;
  /** Outcome of the node that ran last: what history says when a prompt ends by a cycle. */
  lastSuccess = false;
  cudaIsBroken = false;
  #model: string | undefined;
  #lastGarbageAtMs = Number.NEGATIVE_INFINITY;
  #deafUntilMs = Number.NEGATIVE_INFINITY;
  #isWorkerDying = false;
  readonly #act: FaultAct;
  readonly #end = new AbortController();
  #working: Promise<void> = Promise.resolve();

  constructor(parts: EngineParts, act: FaultAct) {
    this.parts = parts;
    this.#act = act;
    this.cache = new ResultCache(parts.settings.cache);
    this.files = new OutputFiles(parts.folders, parts.faults, () => new Date(parts.clock.nowMs()));
    this.log = new ServerLog(parts.clock);
    this.queue = new PromptQueue({
      onChange: () => {
        parts.stats.queueIs(this.queue.running.length, this.queue.pending.length);
        parts.frames.send("status", this.status());
      },
      onRemoved: (prompt) => parts.stats.prompts.removed(prompt),
    });
    this.log.write(`ComfyUI version: ${parts.profile.version}`);
  }

  /** Content of a `status` frame. */
  status(): { status: { exec_info: { queue_remaining: number } } } {
    return { status: { exec_info: { queue_remaining: this.queue.remaining } } };
  }

  /** Starts the worker, which runs until {@link end}. */
  work(): void {
    this.#working = this.#work();
  }

  /** Nothing is begun any more, and nothing is said about what ran; resolves when it runs no more. */
  async end(): Promise<void> {
    this.#end.abort();
    await this.#working;
  }

  throwIfEnded(): void {
    if (this.#end.signal.aborted) throw new LifeEnded();
  }

  /** Lets the staged faults of a moment strike. @throws WorkerDeath | LifeEnded when they end this life */
  reach(stage: Stage, occasion: Occasion): void {
    for (const fault of this.parts.faults.strikeAt(stage, occasion)) {
      if (fault.kind === "interrupt") this.interrupt.set();
      else if (fault.kind === "history_evict") this.history.delete(occasion.promptId);
      else if (fault.kind === "zombie") this.#killWorker(stage);
      else this.#act(fault);
    }
    this.throwIfEnded();
  }

  /** What asks for a prompt is not the worker: that one dies when it next wants to take a prompt. */
  #killWorker(stage: Stage): void {
    if (stage !== "queued") throw new WorkerDeath();
    this.#isWorkerDying = true;
  }

  /** Ends the prompt when it was interrupted, unless the fault `deaf` keeps it from noticing. @throws Interrupted */
  checkInterrupt(occasion: Occasion): void {
    if (this.interrupt.isSet && !this.#isDeaf(occasion)) this.interrupt.check();
  }

  /** Undoes the fault `deaf`. */
  heal(): void {
    this.#deafUntilMs = Number.NEGATIVE_INFINITY;
  }

  #isDeaf(occasion: Occasion): boolean {
    const nowMs = this.parts.clock.monotonicMs();
    const fault = nowMs < this.#deafUntilMs ? undefined : this.parts.faults.strike("deaf", occasion);
    if (fault) this.#deafUntilMs = nowMs + (fault.ms ?? Number.POSITIVE_INFINITY);
    return nowMs < this.#deafUntilMs;
  }

  crash(): never {
    this.#act({ kind: "crash" });
    throw new LifeEnded();
  }

  /** Lets simulated time pass. @throws LifeEnded */
  async wait(durationMs: number): Promise<void> {
    const { faults, settings, clock } = this.parts;
    const slowness = faults.strike("exec_slow")?.factor ?? 1;
    await this.#sleep((durationMs * slowness) / settings.speed, () => clock.turn());
  }

  /** Waits until a prompt has taken its least time; an interrupt ends that at once. @throws Interrupted | LifeEnded */
  async waitOut(leastMs: number, startedAtMs: number, occasion: Occasion): Promise<void> {
    const { faults, settings, clock } = this.parts;
    const slowness = leastMs > 0 ? (faults.strike("exec_slow")?.factor ?? 1) : 1;
    const untilMs = startedAtMs + (leastMs * slowness) / settings.speed;
    for (let leftMs = untilMs - clock.monotonicMs(); leftMs > 0; leftMs = untilMs - clock.monotonicMs()) {
      const isIgnored = this.interrupt.isSet; // then its signal would wake us again and again
      const signal = isIgnored ? this.#end.signal : AbortSignal.any([this.#end.signal, this.interrupt.signal]);
      await clock.sleep(isIgnored ? Math.min(leftMs, DEAF_LOOK_MS) : leftMs, signal).catch(() => undefined);
      this.throwIfEnded();
      this.checkInterrupt(occasion);
    }
  }

  /** Loads a model unless it is the one that is loaded. */
  async useModel(name: string): Promise<void> {
    if (this.#model === name) return;
    this.#model = name;
    this.parts.stats.modelLoaded(name);
    if (this.parts.settings.loadMs > 0) await this.wait(this.parts.settings.loadMs);
  }

  async #work(): Promise<void> {
    while (!this.#end.signal.aborted) {
      await this.queue.waitForWork(this.#end.signal);
      if (this.#isWorkerDying) break;
      const prompt = this.#end.signal.aborted ? undefined : this.queue.take();
      if (prompt && !(await this.#survives(prompt))) return;
      this.#obeyFlags();
    }
    if (this.#isWorkerDying) this.parts.stats.prompts.workerDied(undefined);
  }

  async #survives(prompt: QueuedPrompt): Promise<boolean> {
    try {
      await this.#run(prompt);
      return true;
    } catch (cause) {
      const { running } = this.queue;
      if (cause instanceof WorkerDeath)
        this.parts.stats.prompts.workerDied(running.includes(prompt) ? prompt : undefined);
      else if (!(cause instanceof LifeEnded)) throw cause;
      return false;
    }
  }

  async #run(prompt: QueuedPrompt): Promise<void> {
    const startedAtMs = this.parts.clock.monotonicMs();
    const record = await new PromptRun(this, prompt).execute();
    const delay = this.parts.faults.strike("history_delay", { promptId: prompt.promptId });
    if (delay?.ms) await this.#sleep(delay.ms);
    this.queue.done(prompt, () => this.history.add(record));
    const { frames } = this.parts;
    if (this.clientId !== undefined) {
      frames.send("executing", { node: null, prompt_id: prompt.promptId }, this.clientId);
    }
    const seconds = (this.parts.clock.monotonicMs() - startedAtMs) / 1000;
    this.log.write(`Prompt executed in ${seconds.toFixed(2)} seconds`);
    this.reach("done", { promptId: prompt.promptId });
    await this.#collectGarbage();
  }

  #obeyFlags(): void {
    const flags = this.queue.takeFlags();
    if (flags.unloadModels || flags.freeMemory) this.#model = undefined;
    if (flags.freeMemory) this.cache.clear();
  }

  async #collectGarbage(): Promise<void> {
    const { clock, settings } = this.parts;
    if (settings.gcEvery10sMs <= 0 || clock.monotonicMs() - this.#lastGarbageAtMs < 10_000) return;
    await this.#sleep(settings.gcEvery10sMs);
    this.#lastGarbageAtMs = clock.monotonicMs();
  }

  async #sleep(durationMs: number, otherwise?: () => Promise<void>): Promise<void> {
    if (durationMs > 0) {
      await this.parts.clock.sleep(durationMs, this.#end.signal).catch(() => undefined);
    } else {
      await otherwise?.();
    }
    this.throwIfEnded();
  }
}
