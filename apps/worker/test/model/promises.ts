import { type Attempt, type JobErrorCode, mayHaveLeftPrompt, policyOf } from "@comfyq/contract";
import type { Outcome } from "@comfyq/queue";
import type { HealthEvent } from "../../src/instance/instanceHealth.ts";

import { Customer } from "./customer.ts";
import { isAttended, isOrphan, isThere } from "./orphans.ts";
import { statusOf } from "./queue.ts";
import type { Held, Instance, Job, Prompt, Worker, World } from "./state.ts";

/** The longest that a GPU may work for nobody. */
const ORPHAN_MS = 15_000;
/** Deaths that make a job poison. */
const POISON = 2;
/** What no instance has, no retry mends. */
const LACKS: readonly JobErrorCode[] = ["model_missing", "models_unavailable", "node_class_missing"];
/** Of failures that do not count, and of give-backs, a job bears this many. */
const UNCOUNTED_MAX = 10;
const GIVE_BACKS_MAX = 100;

export type PromiseId = "I1" | "I2" | "I3" | "I4" | "I6" | "I7" | "I11" | "I12";

export interface Breach {
  readonly id: PromiseId;
  readonly what: string;
  readonly atMs: number;
}

/** What truly happened to one job: kept apart from every journal. */
interface Truth {
  /** The tries in which its worker or its ComfyUI died, and how likely of this job. */
  readonly deaths: Map<number, number>;
  renders: number;
  /** Renders that faults may have cost. */
  allowance: number;
  /** By epoch. */
  readonly failures: Map<number, JobErrorCode>;
  /** The first try of which it was written that the job has failed for good; a death may have come in between. */
  finalBy: number | undefined;
  givenBack: number;
  ends: number;
  sealedBy: number | undefined;
}

/** Watches the world, and notes every promise that is broken. Decides nothing. */
export class Promises {
  readonly breaches: Breach[] = [];
  readonly seen = new Map<string, number>();
  readonly customer = new Customer();
  readonly #truths = new Map<string, Truth>();
  readonly #orphans = new Map<string, number>();
  /** By the token of a try: the prompt that it found at its instance. */
  readonly #left = new Map<string, string>();
  readonly #sick = new Map<string, number>();
  nowMs = 0;

  #note(id: PromiseId, what: string): void {
    this.breaches.push({ id, what, atMs: this.nowMs });
  }

  /** Something worth counting has happened. */
  sees(what: string): void {
    this.seen.set(what, (this.seen.get(what) ?? 0) + 1);
  }

  #of(job: Job): Truth {
    const known = this.#truths.get(job.id);
    if (known) return known;
    const none = {
      deaths: new Map<number, number>(),
      renders: 0,
      allowance: 0,
      failures: new Map<number, JobErrorCode>(),
      givenBack: 0,
      finalBy: undefined,
      ends: 0,
      sealedBy: undefined,
    };
    this.#truths.set(job.id, none);
    return none;
  }

  #allow(job: Job): void {
    if (this.#of(job).sealedBy === undefined) this.#of(job).allowance += 1;
  }

  // --- what happens

  onLockLost(job: Job): void {
    this.sees("lost its lock");
    this.#allow(job);
  }

  /** Only what looks like two deaths is poison: of tries whose worker is cut off, nobody can tell yet. */
  onPoison(job: Job, epoch: number): void {
    const deaths = new Map(this.#of(job).deaths);
    for (const page of job.journal.values())
      if (page.epoch < epoch && page.end === null) deaths.set(page.epoch, suspicionOf(page));
    if (sum(deaths) < POISON) this.#note("I7", `job ${job.id} is called poison after ${sum(deaths)} deaths`);
  }

  onGivenBack({ job }: Held): void {
    this.#allow(job);
  }

  onInstanceFault(world: World, instance: Instance): void {
    for (const job of world.jobs)
      if ([...job.journal.values()].some((page) => page.instance_id === instance.name)) this.#allow(job);
  }

  /** A try that says nothing of its end: its worker died, or cannot say it before it does. */
  onWorkerDeath({ id, journal }: Job, epoch: number): void {
    const page = journal.get(epoch);
    if (page?.end === null) this.#truths.get(id)?.deaths.set(epoch, suspicionOf(page));
  }

  onTold(id: string, event: { readonly id: string; readonly body: string }): void {
    const wrong = this.customer.isTold(id, event);
    if (wrong) this.#note("I3", wrong);
  }

  onClaim(world: World, { name, instance }: Worker): void {
    const inRow = this.#sick.get(name) ?? 0;
    if (inRow >= world.parts.quarantineAfter)
      this.#note("I7", `${instance.name} claims after ${inRow} failures of its own`);
  }

  onHealth({ name }: Worker, event: HealthEvent): void {
    if (event.kind === "restarted") this.sees("restarted by command");
    if (event.kind === "rendered" || event.kind === "canary_passed") this.#sick.set(name, 0);
  }

  /** What a process knew of its instance died with it. */
  onStart({ name }: Worker): void {
    this.#sick.set(name, 0);
  }

  onBegin(world: World, worker: Worker, { job, token, earlier }: Held): void {
    const { instance } = worker;
    const left = earlier
      .filter(mayHaveLeftPrompt)
      .find((page) => page.instance_id === instance.name && isThere(instance, page.prompt_id));
    if (left) this.#left.set(token, left.prompt_id);
    const deaths = sum(this.#of(job).deaths);
    if (deaths >= POISON) this.#note("I7", `job ${job.id} begins after ${deaths} deaths`);
    for (const other of world.workers) {
      const isAwake = other.state === "runs" && other.thawedAtMs < world.nowMs - world.parts.settings.fenceCheckMs;
      if (other !== worker && isAwake && other.held.some((held) => held.job === job && held.page && !held.outcome))
        this.#note("I4", `${worker.name} begins job ${job.id} while ${other.name} has not fenced`);
    }
  }

  /** It waits again, by a decision and not by a lost lock. */
  onPutBack(job: Job, outcome: Outcome): void {
    if (outcome.kind === "retry") this.sees("tried again");
    if (outcome.kind === "give_back") this.sees("given back");
    if (outcome.kind === "retry" && policyOf(outcome.error.code).retry === "never")
      this.#note("I7", `job ${job.id} is tried again after ${outcome.error.code}`);
  }

  onRender(world: World, { instance }: Worker, { job, token }: Held): void {
    const truth = this.#of(job);
    truth.renders += 1;
    if (truth.renders > 1 + truth.allowance)
      this.#note("I12", `job ${job.id} is rendered ${truth.renders} times after ${truth.allowance} faults`);
    const left = this.#left.get(token);
    if (left !== undefined && (isThere(instance, left) || instance.stopped.has(left)))
      this.#note("I12", `job ${job.id} is rendered again instead of ${left} at ${instance.name}`);
    if (instance.prompts.length > 1)
      this.#note("I11", `${instance.prompts.length} prompts of ours at ${instance.name}`);
    for (const other of world.instances) {
      // One that came back a moment ago could not be reached before; then its own worker has to stop what it runs.
      const isReachable = other.state === "up" && !other.isZombie && world.nowMs - other.upSinceMs > ORPHAN_MS;
      if (!isReachable || other.address === instance.address) continue;
      const again = other.prompts.find(({ jobId }) => jobId === job.id);
      if (again)
        this.#note("I4", `job ${job.id} is rendered at ${instance.name} while ${again.id} runs at ${other.name}`);
    }
  }

  onFailure(
    { name }: Worker,
    { job }: Held,
    { code, isFinal }: { readonly code: JobErrorCode; readonly isFinal: boolean },
  ): void {
    if (policyOf(code).sickens) this.#sick.set(name, (this.#sick.get(name) ?? 0) + 1);
    if (!isFinal) this.#allow(job);
  }

  /** How a try ended stands in the journal: a failure that nobody could write down is none. */
  onEndWritten({ job, epoch, wasTaken }: Held, outcome: Outcome): void {
    const truth = this.#of(job);
    if (outcome.kind === "give_back") truth.givenBack += 1;
    if (outcome.kind === "failed") truth.finalBy ??= epoch;
    const code = "error" in outcome ? outcome.error?.code : undefined;
    if (code === undefined) return;
    truth.failures.set(epoch, code);
    if (wasTaken && (code === "prompt_lost" || code === "comfyui_unreachable")) truth.deaths.set(epoch, 1);
  }

  onSeal({ job, epoch }: Held): void {
    const truth = this.#of(job);
    if (truth.sealedBy !== undefined) this.#note("I6", `the manifest of job ${job.id} was overwritten by try ${epoch}`);
    truth.sealedBy = epoch;
  }

  onEnd(world: World, job: Job): void {
    const truth = this.#of(job);
    truth.ends += 1;
    this.sees(job.end?.status ?? "");
    if (job.end?.status === "failed") this.sees(`failed by ${job.end.code}`);
    if (truth.ends > 1) this.#note("I2", `job ${job.id} ended ${truth.ends} times`);
    if (job.end?.status === "succeeded" && !world.manifests.get(job.id)?.hasFiles)
      this.#note("I6", `job ${job.id} succeeded, but nothing complete is stored`);
    if (job.end?.status === "failed") this.#checkFailed(job, truth);
    world.outbox.push(job);
  }

  /** Was the job's own credit used up, and not by faults of the house? */
  #checkFailed(job: Job, { failures: byEpoch, givenBack, finalBy }: Truth): void {
    const failures = [...byEpoch.values()];
    const code = job.end?.code ?? "internal";
    const policy = policyOf(code);
    if (policy.retry === "never") return;
    const counted = failures.filter((one) => policyOf(one).counts).length;
    const again = failures.filter((one) => one === code).length - 1;
    const isUsedUp =
      (finalBy ?? job.started) < job.started ||
      counted >= job.maxAttempts ||
      again >= (policy.retriesAtMost ?? Number.POSITIVE_INFINITY);
    const isHopeless =
      isUsedUp || LACKS.includes(code) || failures.length - counted > UNCOUNTED_MAX || givenBack >= GIVE_BACKS_MAX;
    if (policy.counts ? !isUsedUp : !isHopeless)
      this.#note("I7", `job ${job.id} failed by ${code} after ${counted} of ${job.maxAttempts} tries that count`);
  }

  // --- after every step

  look(world: World): void {
    this.nowMs = world.nowMs;
    for (const job of world.jobs) {
      const wrong = this.customer.sees(job.id, statusOf(world, job));
      if (wrong) this.#note("I2", wrong);
    }
    for (const instance of world.instances)
      for (const prompt of instance.prompts) this.#lookAtPrompt(world, instance, prompt);
  }

  #lookAtPrompt(world: World, instance: Instance, prompt: Prompt): void {
    const key = `${instance.name}/${prompt.id}`;
    const since = this.#orphans.get(key);
    if (!isAttended(world, instance) || !isOrphan(world, instance, prompt)) {
      if (since !== undefined) this.#orphans.delete(key);
      return;
    }
    if (since === undefined) this.#orphans.set(key, world.nowMs);
    else if (world.nowMs - since > ORPHAN_MS) {
      this.#note("I4", `${prompt.id} runs at ${instance.name} for nobody`);
      this.#orphans.set(key, Number.POSITIVE_INFINITY);
    }
  }

  /** When everything is mended and nothing moves any more. */
  atTheEnd(): void {
    const owed = this.customer.isOwed();
    if (owed) this.#note("I1", owed);
  }
}

/** A worker that dies while it stores a job has more likely died of the next one. */
function suspicionOf({ stage }: Attempt): number {
  return stage === "storing" ? 0.5 : 1;
}

function sum(parts: ReadonlyMap<number, number>): number {
  return [...parts.values()].reduce((total, part) => total + part, 0);
}
