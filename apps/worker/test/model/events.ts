import { comeUp, crash, finish } from "./comfyui.ts";
import { hears } from "./lock.ts";
import { cancel } from "./queue.ts";
import { type Fate, type Instance, type Nature, newJob, type Stage, type Worker, type World } from "./state.ts";
import { die, drain, start, stepHeld, thaw } from "./worker.ts";
import { tick } from "./world.ts";

/** Things that happen to one process. `step`: its next step at once, before any timer. `mute`: no answer comes through. */
export const WORKER_EVENTS = {
  step: (world, worker) => {
    if (worker.held[0]) stepHeld(world, worker, worker.held[0]);
  },
  crash: die,
  restart: start,
  freeze: (_world, worker) => {
    if (worker.state === "runs") worker.state = "frozen";
  },
  thaw,
  drain,
  cut: (_world, worker) => {
    worker.line = "cut";
  },
  mute: (_world, worker) => {
    worker.line = "mute";
  },
  heal: (_world, worker) => {
    worker.line = "whole";
  },
} as const satisfies Record<string, (world: World, worker: Worker) => void>;

/** Things that happen to one ComfyUI. `away`: it runs on, and nobody reaches it. `forget`: queue and history are lost. */
export const INSTANCE_EVENTS = {
  crash,
  back: comeUp,
  away: (_world, instance) => {
    if (instance.state === "up") instance.state = "unreachable";
  },
  zombie: (world, instance) => ail(world, instance, "isZombie"),
  sicken: (world, instance) => ail(world, instance, "isSick"),
  forget: (world, instance) => {
    world.promises.onInstanceFault(world, instance);
    instance.prompts = [];
    instance.history.clear();
  },
} as const satisfies Record<string, (world: World, instance: Instance) => void>;

/** Things that happen to what all share. */
export const HOUSE_EVENTS = {
  redisDown: (world) => {
    world.redisIsUp = false;
  },
  redisUp: (world) => {
    world.redisIsUp = true;
  },
  storeDown: (world) => {
    world.storeIsUp = false;
  },
  storeUp: (world) => {
    world.storeIsUp = true;
  },
  sweeperDown: (world) => {
    world.sweeperIsUp = false;
  },
  tellerDies: (world) => {
    world.tellerDies = true;
  },
} as const satisfies Record<string, (world: World) => void>;

interface Asked {
  readonly nature: Nature;
  readonly maxAttempts: number;
  readonly expiresInMs: number | undefined;
}

/** One thing that happens. `at` is taken modulo how many there are, so that every event means something. */
export type Event =
  | { readonly submit: Asked }
  | { readonly tickMs: number }
  | { readonly cancel: number }
  | { readonly worker: keyof typeof WORKER_EVENTS; readonly at: number }
  /** When a job that it holds reaches this stage; a frozen one goes on after `forMs`. */
  | { readonly worker: "crash" | "freeze"; readonly at: number; readonly stage: Stage; readonly forMs: number }
  | { readonly comfyui: keyof typeof INSTANCE_EVENTS; readonly at: number }
  | { readonly renderEnds: Fate; readonly at: number }
  | { readonly house: keyof typeof HOUSE_EVENTS };

export function happen(world: World, event: Event): void {
  if ("tickMs" in event) tick(world, event.tickMs);
  else if ("submit" in event) submit(world, event.submit);
  else if ("cancel" in event) askToCancel(world, event.cancel);
  else if ("house" in event) HOUSE_EVENTS[event.house](world);
  else if ("worker" in event) befall(world, pick(world.workers, event.at), event);
  else if ("comfyui" in event) INSTANCE_EVENTS[event.comfyui](world, pick(world.instances, event.at));
  else endRender(pick(world.instances, event.at), event.renderEnds);
  world.promises.look(world);
}

function pick<T>(from: readonly T[], at: number): T {
  const one = from[at % from.length];
  if (one === undefined) throw new Error("a world has at least one of everything");
  return one;
}

function befall(world: World, worker: Worker, event: Extract<Event, { readonly worker: unknown }>): void {
  if ("stage" in event) worker.failPoint = { stage: event.stage, how: event.worker, forMs: event.forMs };
  else WORKER_EVENTS[event.worker](world, worker);
}

function ail(world: World, instance: Instance, how: "isZombie" | "isSick"): void {
  if (instance.state === "down") return;
  world.promises.onInstanceFault(world, instance);
  instance[how] = true;
}

function endRender(instance: Instance, fate: Fate): void {
  const isRunning = instance.prompts[0]?.startedAtMs !== undefined && instance.state !== "down" && !instance.isZombie;
  if (isRunning) finish(instance, fate);
}

function submit(world: World, { nature, maxAttempts, expiresInMs }: Asked): void {
  if (!world.redisIsUp) return; // refused with 503: nothing was promised
  world.backRank += 1;
  const id = `job-${world.jobs.length}`;
  const expiresAtMs = expiresInMs === undefined ? undefined : world.nowMs + expiresInMs;
  world.jobs.push(newJob(id, { nature, maxAttempts, expiresAtMs, rank: world.backRank }));
  world.promises.customer.submits(id, expiresAtMs !== undefined);
}

function askToCancel(world: World, at: number): void {
  const job = world.jobs[at % world.jobs.length];
  if (!job || !world.redisIsUp || job.end) return;
  world.promises.customer.asksToCancel(job.id);
  cancel(world, job);
  for (const worker of world.workers)
    for (const held of worker.held)
      if (held.job === job && worker.state === "runs" && hears(world, worker)) held.hearsCancel = true;
}
