import { isComfyError } from "@comfyq/comfyui";
import type { JobFailure, Workflow } from "@comfyq/contract";
import type { Claimer } from "@comfyq/queue";
import { monotonicMs, newId, sleep, withDeadline } from "@comfyq/runtime";
import type { Activity } from "../activity.ts";
import type { WorkerConfig } from "../config.ts";
import { orAborted } from "../orAborted.ts";
import { canaryWorkflow, flyCanary } from "./canary.ts";
import type { Instance } from "./instance.ts";
import {
  applyHealthEvent,
  type Health,
  type HealthEvent,
  type Leftovers,
  NEW_INSTANCE,
  nextCure,
  reasonOf,
  standingOf,
} from "./instanceHealth.ts";
import { type InstanceLease, keepInstanceLease } from "./instanceLease.ts";
import { type KeepFactsOptions, type KeptFacts, keepFacts } from "./keepFacts.ts";
import type { InstanceFacts } from "./learnInstance.ts";
import { sharedReason, sortLeftovers } from "./leftovers.ts";
import { restartInstance } from "./restartInstance.ts";
import { tidyHistory } from "./tidyHistory.ts";
import { whyUnknown } from "./whyUnknown.ts";

/** Nothing is looked at any more once the signal aborts. */
export interface InstanceOptions extends Omit<KeepFactsOptions, "timeScale"> {
  readonly claimer: Claimer;
  readonly config: WorkerConfig;
  readonly activity: Activity;
  /** The operator's own; undefined: a small one without models. */
  readonly canary: Workflow | undefined;
  /** Called each time the instance came back: perhaps with an empty disk. */
  readonly onBack: () => void;
  /** Called when its standing became another. */
  readonly onChange: () => void;
}

const LOOK_EVERY_MS = 1_000;
/** A cloud counts the questions, and its jobs tell when it is away. */
const LOOK_AT_CLOUD_EVERY_MS = 10_000;
/** While something is in the way of claiming. */
const LOOK_SOON_MS = 250;
/** A well instance's queue: two workers may have been pointed at it under two addresses. */
const LOOK_THROUGH_EVERY_MS = 5_000;
const REACHABLE_MS = 2_000;
/** While its history may hold what nobody will go on from. */
const TIDY_EVERY_MS = 30_000;
/** A server that answers but refuses (a wrong key, say) would otherwise be tried hundreds of times a second. */
const REST_MS = 3_000;
/** A key that is refused is so until somebody corrects it, and who knocks all the time is locked out. */
const REFUSED_REST_MS = 30_000;
/** Longest wait for Redis's answer about one leftover. */
const ANSWER_MS = 5_000;
/** Longest wait for the word whose instance it is, when a GPU may have to be stopped: fence and this must fit into a lock. */
const OWNER_MS = 1_000;

/** Watches one ComfyUI for as long as the process lives. It starts as in trouble, until it has answered. */
export function watchInstance(options: InstanceOptions): Instance {
  return new WatchedInstance(options);
}

class WatchedInstance implements Instance {
  readonly restart: Instance["restart"];
  readonly #options: InstanceOptions;
  readonly #facts: KeptFacts;
  readonly #condemned = new Set<string>();
  #health: Health = NEW_INSTANCE;
  #lease: InstanceLease | undefined;
  #restUntilMs = 0;
  #isFlying = false;
  /** When its history is to be looked through next; a dead predecessor may have left something. */
  #tidyAtMs = 0;
  #lookedThroughAtMs = Number.NEGATIVE_INFINITY;
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #changed = Promise.withResolvers<void>();

  constructor(options: InstanceOptions) {
    this.#options = options;
    this.#facts = keepFacts({ ...options, timeScale: options.config.timeScale });
    const command = options.config.COMFYUI_RESTART_COMMAND;
    this.restart = command === undefined ? undefined : (signal) => this.#restart(command, signal);
    void this.#watch();
  }

  facts = () => this.#facts.current();
  /** A lease that was not confirmed for long may be another's by now: nothing is claimed until Redis has been asked again. */
  standing = () => standingOf(this.#isSurelyOurs() ? this.#health : { ...this.#health, driver: { kind: "unasked" } });
  toRejoin = () => (this.#health.leftovers.kind === "rejoin" ? this.#health.leftovers.jobIds : []);
  noteRendered = () => this.#note({ kind: "rendered" });

  async untilWell(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    while (this.standing().kind !== "well") await orAborted(this.#changed.promise, signal);
  }

  noteFailure(failure: JobFailure): void {
    if (failure.code === "comfyui_unreachable" || failure.code === "worker_unfit") this.#rest();
    this.#note({ kind: "failed", failure });
  }

  lookAgain(condemned?: string): void {
    if (condemned !== undefined) this.#condemned.add(condemned);
    this.#note({ kind: "look_again" });
  }

  tidyLater(): void {
    this.#tidyAtMs = Math.min(this.#tidyAtMs, this.#inTidyTime());
  }

  async isSurelyOurs(): Promise<boolean> {
    if (this.#lease === undefined || this.#lease.isSurelyOurs()) return true;
    await this.#lease.ask(OWNER_MS * this.#options.config.timeScale);
    return this.#lease.isSurelyOurs();
  }

  async isAnothers(): Promise<boolean> {
    if (this.#lease === undefined || this.#lease.isSurelyOurs()) return false;
    return (await this.#lease.ask(OWNER_MS * this.#options.config.timeScale)) !== undefined;
  }

  flyCanary(signal: AbortSignal): Promise<string | undefined> {
    const { comfyui, canary, config } = this.#options;
    const workflow = canary ?? canaryWorkflow(this.#facts.current()?.classes, Math.random());
    this.#isFlying = true;
    return flyCanary(comfyui, { workflow, withinMs: config.COMFYQ_CANARY_S * 1_000, signal }).finally(() => {
      this.#isFlying = false;
    });
  }

  async release(): Promise<void> {
    await this.#lease?.release();
  }

  async #watch(): Promise<void> {
    const { signal, log, config } = this.#options;
    while (!signal.aborted) {
      await this.#look().catch((cause: unknown) => {
        if (!signal.aborted) log.warn({ cause }, "instance could not be looked at");
      });
      const everyMs = this.#health.leftovers.kind === "none" ? LOOK_EVERY_MS : LOOK_SOON_MS;
      await sleep(everyMs * config.timeScale, signal).catch(() => {}); // only the end of the process ends it early
    }
  }

  async #look(): Promise<void> {
    const { comfyui, signal } = this.#options;
    if (monotonicMs() < this.#restUntilMs) return;
    if (!this.#hasJustAnswered() && !(await comfyui.isReachable({ signal, withinMs: REACHABLE_MS }))) {
      this.#note({ kind: "away", reason: "ComfyUI does not answer; is it running?" });
      return this.#cure();
    }
    if (this.#health.away !== undefined) await this.#learn();
    if (this.#health.away !== undefined || this.#health.driver.kind !== "us") return;
    await this.#lookThrough();
    await this.#cure();
    await this.#tidy();
    void this.#facts.learnAgain(); // a ComfyUI that loads a model answers late: nothing else waits for that
  }

  #hasJustAnswered(): boolean {
    const { isCloud, timeScale } = this.#options.config;
    const isDue = monotonicMs() - this.#askedAtMs > LOOK_AT_CLOUD_EVERY_MS * timeScale;
    if (isDue) this.#askedAtMs = monotonicMs();
    return isCloud && !isDue && this.#health.away === undefined;
  }

  async #learn(): Promise<void> {
    const { onBack, log } = this.#options;
    try {
      const facts = await this.#facts.learn();
      onBack();
      log.info({ version: facts.version, classes: Object.keys(facts.classes).length }, "instance answers");
      this.#note({ kind: "answered" });
      this.#holdLease(facts);
    } catch (cause) {
      this.#rest(isComfyError(cause, "unauthorized", "rate_limited", "payment_required") ? REFUSED_REST_MS : REST_MS);
      this.#note({ kind: "away", reason: whyUnknown(cause, this.#options.config) });
    }
  }

  #holdLease({ isCloud }: InstanceFacts): void {
    const { claimer, config } = this.#options;
    if (isCloud)
      this.#note({ kind: "driven", by: "us" }); // any number of workers may use it
    else
      this.#lease ??= keepInstanceLease({
        room: claimer.room,
        claim: { key: config.instanceKey, token: newId(), holder: `worker ${config.workerId} on ${config.machine}` },
        onAnswer: (by) => {
          this.#note({ kind: "driven", by });
          this.#wake(); // a lease that had not been confirmed for long is, without any news
        },
      });
  }

  async #lookThrough(): Promise<void> {
    const isDue = monotonicMs() - this.#lookedThroughAtMs > LOOK_THROUGH_EVERY_MS * this.#options.config.timeScale;
    const { kind } = this.#health.leftovers;
    if (this.#isFlying) return; // it would be taken for a dead worker's
    // Whoever claims now claims what is to be rejoined.
    if ((kind === "none" && !isDue) || (kind === "rejoin" && this.#options.activity.isClaiming)) return;
    this.#lookedThroughAtMs = monotonicMs();
    this.#note({ kind: "looked", leftovers: (await this.#stillShared()) ?? (await this.#sortLeftovers()) });
  }

  async #tidy(): Promise<void> {
    if (monotonicMs() < this.#tidyAtMs || this.#isFlying) return;
    this.#tidyAtMs = this.#inTidyTime();
    const { comfyui, claimer, activity, config, signal } = this.#options;
    const isHeld = (jobId: string) => activity.held.has(jobId);
    const standing = (jobId: string) => this.#ask(claimer.standing(jobId));
    if (await tidyHistory({ comfyui, config, isHeld, standing, signal })) this.#tidyAtMs = Number.POSITIVE_INFINITY;
  }

  #inTidyTime(): number {
    return monotonicMs() + TIDY_EVERY_MS * this.#options.config.timeScale;
  }

  /** An older worker was met here: this one stays away as long as that one lives. */
  async #stillShared(): Promise<Leftovers | undefined> {
    const { leftovers } = this.#health;
    const id = leftovers.kind === "in_the_way" ? leftovers.sharedWith : undefined;
    if (id === undefined) return undefined;
    const other = (await this.#ask(this.#options.claimer.neighbours())).find((worker) => worker.id === id);
    return other && { kind: "in_the_way", reason: sharedReason(other), sharedWith: id };
  }

  async #sortLeftovers(): Promise<Leftovers> {
    if (this.#options.config.isCloud) return { kind: "none" }; // in nobody's way, and found by the journal; see #tidy
    const { comfyui, claimer, config, activity, signal } = this.#options;
    return sortLeftovers({
      comfyui,
      instance: config.instanceName,
      isHeld: (jobId) => activity.held.has(jobId),
      isClaiming: () => activity.isClaiming,
      condemned: this.#condemned,
      standing: (jobId) => this.#ask(claimer.standing(jobId)),
      neighbours: () => this.#ask(claimer.neighbours()),
      startedAt: activity.startedAt,
      signal,
    });
  }

  #ask<T>(answer: Promise<T>): Promise<T> {
    return orAborted(answer, withDeadline(this.#options.signal, ANSWER_MS));
  }

  async #cure(): Promise<void> {
    const { signal, log, config } = this.#options;
    const { timeScale } = config;
    const cure = nextCure(this.#health, { nowMs: monotonicMs(), canRestart: this.restart !== undefined, timeScale });
    if (cure === "restart") await this.restart?.(signal);
    if (cure !== "canary") return;
    const reason = await this.flyCanary(signal);
    log.info({ reason }, "canary has flown");
    this.#note(reason === undefined ? { kind: "canary_passed" } : { kind: "canary_failed", reason });
  }

  async #restart(command: string, signal: AbortSignal): Promise<boolean> {
    const { comfyui, config, log } = this.#options;
    this.#note({ kind: "away", reason: "ComfyUI is being restarted" });
    const isBack = await restartInstance(comfyui, { command, config, log, signal });
    this.#note({ kind: "restarted" });
    return isBack;
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  #isSurelyOurs(): boolean {
    return this.#lease === undefined || this.#health.driver.kind !== "us" || this.#lease.isSurelyOurs();
  }

  #rest(ms = REST_MS): void {
    this.#restUntilMs = monotonicMs() + ms * this.#options.config.timeScale;
  }

  #note(event: HealthEvent): void {
    const { config, log, onChange } = this.#options;
    const before = this.standing();
    this.#health = applyHealthEvent(this.#health, event, {
      nowMs: monotonicMs(),
      quarantineAfter: config.COMFYQ_QUARANTINE_AFTER,
      timeScale: config.timeScale,
    });
    const standing = this.standing();
    if (standing.kind === before.kind && reasonOf(standing) === reasonOf(before)) return;
    if (standing.kind === "well") log.info("instance is well");
    else if (standing.kind === "starting") log.debug({ reason: standing.reason }, "instance is being looked at");
    else log.warn({ state: standing.kind, reason: standing.reason }, "instance takes no jobs");
    this.#wake();
    onChange();
  }
}
