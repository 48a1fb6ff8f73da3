import { NEW_INSTANCE } from "../../src/instance/instanceHealth.ts";
import { seal, stepAttempt } from "./attempt.ts";
import { isWell, lookAfter, noteHealth, tokenOf } from "./instanceWatch.ts";
import { canAsk, hears, runTimers, tidy } from "./lock.ts";
import { canBeClaimed, claim, earlierTries } from "./queue.ts";
import { type Held, isClaiming, isRendering, type Job, type Worker, type World } from "./state.ts";

/** Rhythm of the watch over an instance, the same while something was left there, and between two steps of an attempt. */
const LOOK_MS = 1_000;
const LOOK_SOON_MS = 250;
const STEP_MS = 200;
const NEVER = Number.POSITIVE_INFINITY;
/** Jobs that may be stored at the same time. */
const STORING_MAX = 3;

/** Everything that is due in one process at this moment, timers first. */
export function runWorker(world: World, worker: Worker): void {
  if (worker.thawsAtMs <= world.nowMs) thaw(world, worker);
  if (!isAwake(worker)) return;
  for (const held of [...worker.held]) runTimers(world, worker, held);
  for (const held of [...worker.held]) if (held.actAtMs <= world.nowMs) stepHeld(world, worker, held);
  if (!isAwake(worker)) return; // a step was its last
  tidy(world, worker);
  if (worker.actAtMs <= world.nowMs) watchInstance(world, worker);
  if (mayClaim(world, worker)) takeOne(world, worker);
  if (isAwake(worker) && hears(world, worker)) beat(world, worker);
}

function isAwake({ state }: Worker): boolean {
  return state === "runs";
}

/** One step of one attempt, without a look at the timers: an answer may be served before they are. */
export function stepHeld(world: World, worker: Worker, held: Held): void {
  if (!isAwake(worker) || !worker.held.includes(held)) return;
  held.actAtMs = world.nowMs + STEP_MS;
  stepAttempt(world, worker, held);
  strikeFailPoint(world, worker);
}

function strikeFailPoint(world: World, worker: Worker): void {
  const { failPoint } = worker;
  if (!failPoint || !worker.held.some(({ stage }) => stage === failPoint.stage)) return;
  worker.failPoint = undefined;
  if (failPoint.how === "crash") die(world, worker);
  else Object.assign(worker, { state: "frozen", thawsAtMs: world.nowMs + failPoint.forMs });
}

function watchInstance(world: World, worker: Worker): void {
  if (worker.isDraining && worker.held.length === 0) leave(world, worker);
  else lookAfter(world, worker);
  worker.actAtMs = world.nowMs + (worker.health.leftovers.kind === "none" ? LOOK_MS : LOOK_SOON_MS);
}

function beat(world: World, worker: Worker): void {
  if (world.nowMs - worker.heardAtMs > world.parts.settings.renewMs) worker.redisBackAtMs = world.nowMs;
  worker.heardAtMs = world.nowMs;
  const takesJobs = isAwake(worker) && !worker.isDraining && (isRendering(worker) || isWell(world, worker));
  worker.told = takesJobs ? "takes jobs" : "unready";
}

/** Its slot is free, its instance well, and a job there to be had: BullMQ wakes it at once. */
export function mayClaim(world: World, worker: Worker): boolean {
  const isBusy = isClaiming(worker) || isRendering(worker) || worker.held.length >= STORING_MAX;
  if (isBusy || !isAwake(worker) || worker.isDraining || !canAsk(world, worker) || !isWell(world, worker)) return false;
  return worker.health.leftovers.kind === "rejoin" || world.jobs.some((job) => canBeClaimed(world, job));
}

function takeOne(world: World, worker: Worker): void {
  const { leftovers } = worker.health;
  const first = leftovers.kind === "rejoin" ? leftovers.jobIds : [];
  worker.claims += 1;
  const token = `${worker.name}:${worker.lives}:${worker.claims}`;
  const job = claim(world, token, first);
  if (job && hears(world, worker)) worker.held.push(newHeld(world, { job, token, first }));
  else if (first.length > 0) noteHealth(world, worker, { kind: "look_again" });
  world.promises.onClaim(world, worker);
  strikeFailPoint(world, worker);
}

interface Claimed {
  readonly job: Job;
  readonly token: string;
  readonly first: readonly string[];
}

function newHeld({ nowMs, parts }: World, { job, token, first }: Claimed): Held {
  return {
    job,
    token,
    first,
    epoch: job.started,
    sinceMs: nowMs,
    lookedAtMs: nowMs,
    lease: undefined,
    renewAtMs: nowMs + parts.settings.renewMs,
    actAtMs: nowMs + STEP_MS,
    stage: "claimed",
    page: undefined,
    earlier: earlierTries(job, job.started),
    promptId: undefined,
    mayRun: false,
    wasTaken: false,
    hasFiles: false,
    hearsCancel: job.cancelWanted,
    stopSinceMs: undefined,
    awaySinceMs: undefined,
    renderSinceMs: 0,
    outcome: undefined,
  };
}

/** SIGCONT: answers that came in meanwhile are served before the timers are. */
export function thaw(world: World, worker: Worker): void {
  if (worker.state !== "frozen") return;
  Object.assign(worker, { state: "runs", thawedAtMs: world.nowMs, thawsAtMs: NEVER });
  for (const held of [...worker.held]) if (held.actAtMs <= world.nowMs) stepHeld(world, worker, held);
}

/** kill -9. */
export function die(world: World, worker: Worker): void {
  if (worker.state === "dead") return;
  for (const { job, epoch } of worker.held) world.promises.onWorkerDeath(job, epoch);
  for (const { job, page } of worker.owed) world.promises.onWorkerDeath(job, page.epoch);
  Object.assign(worker, { state: "dead", held: [], owed: [], failPoint: undefined, thawsAtMs: NEVER });
  worker.condemned.clear();
  worker.declining.clear();
}

/** SIGTERM, and its deadline over: what is not decided yet is given back, its prompt left running. */
export function drain(world: World, worker: Worker): void {
  if (!isAwake(worker) || worker.isDraining) return;
  worker.isDraining = true;
  for (const held of worker.held.filter(({ outcome }) => outcome === undefined)) {
    if (held.stage === "sealing") seal(world, worker, held); // it was under way, and nobody waits for its answer
    world.promises.onGivenBack(held);
    held.outcome = { kind: "give_back", reason: "its worker is stopping" };
    held.stage = "settling";
  }
}

function leave(world: World, worker: Worker): void {
  die(world, worker);
  worker.told = "unready";
  if (worker.instance.driver === tokenOf(worker)) worker.instance.driver = undefined;
}

/** A new process, with nothing in its memory. */
export function start(world: World, worker: Worker): void {
  if (worker.state !== "dead") return;
  world.promises.onStart(worker);
  const { nowMs } = world;
  worker.health = NEW_INSTANCE;
  Object.assign(worker, {
    state: "runs",
    isDraining: false,
    lives: worker.lives + 1,
    actAtMs: nowMs,
    drivesUntilMs: nowMs,
  });
}
