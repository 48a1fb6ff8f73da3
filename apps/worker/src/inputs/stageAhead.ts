import type { Claimer, WaitingJob } from "@comfyq/queue";
import type { SecretBox } from "@comfyq/runtime";
import { failPoint, type Logger, monotonicMs, sleep } from "@comfyq/runtime";
import type { Activity } from "../activity.ts";
import { lendSecrets } from "../attempt/jobSecrets.ts";
import type { WorkerConfig } from "../config.ts";
import type { ModelsAhead } from "../models/modelsAhead.ts";
import { type ByteAccount, type ByteBudget, createByteBudget } from "./byteBudget.ts";
import type { Inputs } from "./inputs.ts";
import type { Staging } from "./stageInput.ts";
import { wishesOf } from "./wishes.ts";

export interface AheadOptions {
  readonly claimer: Pick<Claimer, "peek" | "neighbours">;
  readonly inputs: Inputs;
  readonly models: ModelsAhead;
  readonly secretBox: SecretBox;
  readonly config: WorkerConfig;
  readonly activity: Activity;
  readonly log: Logger;
  /** Nothing is staged any more once this aborts. */
  readonly signal: AbortSignal;
}

/** Brings what comes next onto the instance while it renders. */
export interface StageAhead {
  /** A render has begun: now there is time. */
  lookNow(): void;
  /** True when nobody waited the last time it looked, or when it does not look. */
  expectsNone(): boolean;
}

/** Besides: who waits changes. */
const LOOK_EVERY_MS = 1_000;
/** A job that waits no more may be on its way to us: it is dropped when that has been so for long. */
const GONE_AFTER_MS = 900;

/**
 * Which worker takes the first job is settled only when it is taken, so each gets ready for one more per neighbour: of four
 * that end together, each finds its job's inputs there. At most for so many, for every one of them is fetched by every worker.
 */
const MOST_FOR_NEIGHBOURS = 6;
/** Neighbours come and go slowly. */
const NEIGHBOURS_EVERY_MS = 3_000;

/** A job whose inputs are on their way, or there. */
interface Ahead {
  /** Since when it is known to wait no more. */
  goneSinceMs: number | undefined;
  readonly account: ByteAccount;
  readonly dropped: AbortController;
}

/**
 * Brings the inputs of the next waiting jobs onto the instance while it renders, so that the GPU does not wait for them. It
 * peeks and claims nothing: one that another worker takes was a file too many here. Troubles are kept to itself: the attempt
 * will meet them, and tell. Ends with the signal.
 */
export function startStageAhead(options: AheadOptions): StageAhead {
  const { COMFYQ_STAGE_AHEAD_JOBS: wanted, COMFYQ_STAGE_AHEAD_BYTES: bytes, isNaive } = options.config;
  const count = options.config.COMFYQ_OVERFLOW_AFTER_S > 0 ? 0 : wanted; // what waits is mostly for others
  if (count === 0 || bytes === 0 || isNaive) return { lookNow: () => {}, expectsNone: () => true };
  const stager = new AheadStager(options, createByteBudget(bytes));
  void stager.lookOnAndOn();
  return stager;
}

class AheadStager implements StageAhead {
  readonly #options: AheadOptions;
  readonly #budget: ByteBudget;
  readonly #ahead = new Map<string, Ahead>();
  #isLooking = false;
  #waiting = 0;
  #neighbours = 0;
  #countedAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: AheadOptions, budget: ByteBudget) {
    this.#options = options;
    this.#budget = budget;
  }

  lookNow(): void {
    const { log, signal } = this.#options;
    if (this.#isLooking) return;
    this.#isLooking = true;
    void this.#look()
      .catch((cause: unknown) => {
        if (!signal.aborted) log.debug({ cause }, "what comes next could not be looked at");
      })
      .finally(() => {
        this.#isLooking = false;
      });
  }

  expectsNone(): boolean {
    return this.#waiting === 0;
  }

  /** Never rejects. */
  async lookOnAndOn(): Promise<void> {
    const { signal, activity, config } = this.#options;
    while (!signal.aborted) {
      if (activity.gpu.state === "rendering" || this.#ahead.size > 0) this.lookNow();
      await sleep(LOOK_EVERY_MS * config.timeScale, signal).catch(() => {});
    }
    for (const [id, ahead] of this.#ahead) this.#drop(id, ahead);
  }

  async #look(): Promise<void> {
    const { claimer, activity, config, signal } = this.#options;
    const count = config.COMFYQ_STAGE_AHEAD_JOBS + Math.min(await this.#countNeighbours(), MOST_FOR_NEIGHBOURS);
    const { ids, jobs } = await claimer.peek({ count, ignore: new Set(this.#ahead.keys()) });
    signal.throwIfAborted();
    this.#waiting = ids.length;
    for (const [id, ahead] of this.#ahead) {
      ahead.goneSinceMs = ids.includes(id) ? undefined : (ahead.goneSinceMs ?? monotonicMs());
      if (ahead.goneSinceMs === undefined) continue;
      if (activity.held.has(id)) this.#handOver(id, ahead);
      else if (monotonicMs() - ahead.goneSinceMs > GONE_AFTER_MS * config.timeScale) this.#drop(id, ahead);
    }
    if (activity.gpu.state !== "rendering") return;
    for (const job of jobs) if (!activity.held.has(job.id)) this.#begin(job);
  }

  async #countNeighbours(): Promise<number> {
    const { claimer, config } = this.#options;
    if (monotonicMs() - this.#countedAtMs > NEIGHBOURS_EVERY_MS * config.timeScale) {
      this.#countedAtMs = monotonicMs();
      this.#neighbours = (await claimer.neighbours()).length;
    }
    return this.#neighbours;
  }

  /** It is ours now: its attempt goes on with what is under way, and forgets it in the end. */
  #handOver(id: string, { account }: Ahead): void {
    this.#ahead.delete(id);
    account.close();
  }

  #drop(id: string, ahead: Ahead): void {
    this.#ahead.delete(id);
    ahead.dropped.abort(new DOMException("The job is not next any more", "AbortError"));
    ahead.account.close();
    if (!this.#options.activity.held.has(id)) this.#options.inputs.forgetJob(id);
  }

  #begin(job: WaitingJob): void {
    const { inputs, models, signal, config, log, secretBox } = this.#options;
    const dropped = new AbortController();
    const account = this.#budget.open();
    const secrets = lendSecrets(job, secretBox);
    const both = AbortSignal.any([dropped.signal, signal]);
    const staging: Staging = {
      jobId: job.id,
      tenant: job.tenant,
      secrets: () => secrets.open(),
      signal: both,
      check: () => both.throwIfAborted(),
      reached: (point) => failPoint(`ahead_${point}`, { job: job.id, instance: config.instanceName }),
      onBytes: (bytes) => account.take(bytes),
    };
    const stageAll = async () => {
      for (const wish of wishesOf(job.request)) await inputs.stage(wish, staging);
    };
    stageAll()
      .catch((cause: unknown) => {
        if (!both.aborted) log.debug({ jobId: job.id, cause }, "an input could not be staged ahead");
      })
      .finally(() => secrets.forget());
    models.begin(job);
    this.#ahead.set(job.id, { goneSinceMs: undefined, account, dropped });
  }
}
