import type { HealthEvent, Leftovers, Standing } from "../../src/instance/instanceHealth.ts";
import { restart, stopPrompt } from "./comfyui.ts";
import { hears } from "./lock.ts";
import { isWaiting } from "./queue.ts";
import { isClaiming, type Prompt, type Worker, type World } from "./state.ts";

/** Of its lease, the part in which a worker takes jobs without having asked again. */
const SURE_FOR = 0.8;
/** A well instance's queue is looked through this often. */
const LOOK_THROUGH_MS = 5_000;

function standingOf({ parts }: World, { health }: Worker): Standing {
  return parts.standingOf(health);
}

export function noteHealth(world: World, worker: Worker, event: HealthEvent): void {
  const circumstances = { nowMs: world.nowMs, quarantineAfter: world.parts.quarantineAfter, timeScale: 1 };
  const wasQuarantined = worker.health.quarantine !== undefined;
  worker.health = world.parts.applyHealthEvent(worker.health, event, circumstances);
  if (!wasQuarantined && worker.health.quarantine) world.promises.sees("quarantined");
  world.promises.onHealth(worker, event);
}

/** What the instance's watch does: is it there, is it ours to drive, what was left, does a canary run? */
export function lookAfter(world: World, worker: Worker): void {
  const { instance } = worker;
  askWhoDrives(world, worker);
  if (world.nowMs < worker.restUntilMs) return;
  if (instance.state !== "up") {
    noteHealth(world, worker, { kind: "away", reason: "no answer" });
    cure(world, worker);
    return;
  }
  if (worker.health.away !== undefined) noteHealth(world, worker, { kind: "answered" });
  if (worker.health.driver.kind !== "us") return;
  lookThrough(world, worker);
  cure(world, worker);
}

function cure(world: World, worker: Worker): void {
  const { nowMs, canRestart } = world;
  const means = world.parts.nextCure(worker.health, { nowMs, canRestart, timeScale: 1 });
  if (means === "restart") restartBy(world, worker);
  if (means === "canary") flyCanary(world, worker);
}

/** May it begin a job there? Nobody else can drive the instance as long as the lease was confirmed lately. */
export function isWell(world: World, worker: Worker): boolean {
  return drivesSurely(world, worker) && standingOf(world, worker).kind === "well";
}

function drivesSurely(world: World, worker: Worker): boolean {
  return world.nowMs < worker.drivesUntilMs || !world.parts.rules.doubtsItsInstance;
}

/** Asked before a prompt is sent; Redis is asked when the lease alone does not tell. */
export function mayBegin(world: World, worker: Worker): boolean {
  if (!drivesSurely(world, worker)) askWhoDrives(world, worker);
  return drivesSurely(world, worker);
}

/** One worker per ComfyUI, by a lease in Redis. */
function askWhoDrives(world: World, worker: Worker): void {
  if (!hears(world, worker)) return;
  const { instance, name } = worker;
  const token = tokenOf(worker);
  const isFree = instance.driver === undefined || instance.drivenUntilMs <= world.nowMs;
  if (isFree && instance.driver?.startsWith(`${name}:`) === false) world.promises.sees("driven by its spare");
  if (isFree) instance.driver = token;
  if (instance.driver === token) {
    const { instanceLeaseMs } = world.parts.settings;
    worker.drivesUntilMs = world.nowMs + instanceLeaseMs * SURE_FOR;
    instance.drivenUntilMs = world.nowMs + instanceLeaseMs;
  }
  noteHealth(world, worker, { kind: "driven", by: instance.driver === token ? "us" : { holder: "another" } });
}

/** Unlike for every process. */
export function tokenOf({ name, lives }: Worker): string {
  return `${name}:${lives}`;
}

export function restartBy(world: World, worker: Worker): void {
  restart(world, worker.instance);
  noteHealth(world, worker, { kind: "restarted" });
}

/** @returns did it run? */
export function flyCanary(world: World, worker: Worker): boolean {
  const { isSick, isZombie, state } = worker.instance;
  const passed = state === "up" && !isSick && !isZombie;
  noteHealth(world, worker, passed ? { kind: "canary_passed" } : { kind: "canary_failed", reason: "no end" });
  return passed;
}

function lookThrough(world: World, worker: Worker): void {
  const { kind } = worker.health.leftovers;
  const isDue = world.nowMs - worker.lookedThroughAtMs > LOOK_THROUGH_MS;
  if ((kind === "none" && !isDue) || (kind === "rejoin" && isClaiming(worker))) return;
  const leftovers = world.parts.rules.sortsLeftovers ? sortLeftovers(world, worker) : ({ kind: "none" } as const);
  if (!leftovers) return; // Redis could not be asked about them
  worker.lookedThroughAtMs = world.nowMs;
  noteHealth(world, worker, { kind: "looked", leftovers });
}

function sortLeftovers(world: World, worker: Worker): Leftovers | undefined {
  const left = worker.instance.prompts.filter(
    (prompt) => !worker.held.some(({ job, page }) => page && job.id === prompt.jobId),
  );
  if (left.length === 0) return { kind: "none" };
  if (!hears(world, worker)) return undefined;
  const sorted = left.map((prompt) => ({ prompt, fate: sortOne(world, worker, prompt) }));
  if (sorted.some(({ fate }) => fate === "wait")) return { kind: "in_the_way", reason: "its job is held" };
  const jobIds = sorted.filter(({ fate }) => fate === "rejoin").map(({ prompt }) => prompt.jobId);
  return jobIds.length > 0 ? { kind: "rejoin", jobIds } : { kind: "none" };
}

function sortOne(world: World, worker: Worker, prompt: Prompt): "rejoin" | "gone" | "wait" {
  const isCondemned = worker.condemned.has(prompt.id);
  const fate = isCondemned ? "stop" : world.parts.fateOf(whereStands(world, prompt.jobId), prompt.epoch);
  if (fate !== "stop") return fate;
  return !isClaiming(worker) && stopPrompt(worker.instance, prompt.id) ? "gone" : "wait";
}

function whereStands(world: World, jobId: string): Parameters<World["parts"]["fateOf"]>[0] {
  const job = world.jobs.find(({ id }) => id === jobId);
  if (!job) return { kind: "unknown" };
  if (job.end) return { kind: "ended" };
  return isWaiting(job) ? { kind: "waiting" } : { kind: "held", epoch: job.started };
}
