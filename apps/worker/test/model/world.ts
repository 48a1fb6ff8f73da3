import { comeUp, promptEndsAtMs, restart, runPrompts } from "./comfyui.ts";
import { canAsk, fenceLookAtMs } from "./lock.ts";
import type { Parts } from "./parts.ts";
import { Promises } from "./promises.ts";
import { scan, sweepExpired } from "./queue.ts";
import { newInstance, newWorker, type World } from "./state.ts";
import { die, mayClaim, runWorker, start, thaw } from "./worker.ts";

const NEVER = Number.POSITIVE_INFINITY;
/** How long a ghost is away after everything else was mended. */
const GHOST_MS = 60_000;
/** When everything is mended, the last job ends within this. */
const QUIET_MS = 4 * 3_600_000;

export interface Setup {
  readonly gpus: number;
  /** Second workers at the first ComfyUIs: they wait until they may drive. */
  readonly spare: number;
  /** Every machine has its own, at the same address: nobody reaches another's. */
  readonly isLoopback: boolean;
  readonly canRestart: boolean;
  readonly dice: number;
}

export function createWorld({ gpus, spare, isLoopback, canRestart, dice }: Setup, parts: Parts): World {
  const instances = Array.from({ length: gpus }, (_, at) =>
    newInstance(`gpu-${at}`, isLoopback ? "127.0.0.1" : `gpu-${at}`),
  );
  let seed = dice;
  return {
    nowMs: 0,
    parts,
    jobs: [],
    instances,
    workers: [...instances, ...instances.slice(0, spare)].map((instance, at) => newWorker(`worker-${at}`, instance)),
    manifests: new Map(),
    outbox: [],
    canRestart,
    redisIsUp: true,
    storeIsUp: true,
    sweeperIsUp: true,
    tellerDies: false,
    isSupervised: false,
    nextScanAtMs: 0,
    nextSweepAtMs: 0,
    turn: 0,
    frontRank: 0,
    backRank: 0,
    dice: () => {
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
      return seed / 2 ** 31;
    },
    promises: new Promises(),
  };
}

/** Lets time pass, from one thing that is due to the next. */
export function tick(world: World, ms: number): void {
  const untilMs = world.nowMs + ms;
  for (let dueMs = nextDueMs(world); dueMs <= untilMs; dueMs = nextDueMs(world)) {
    world.nowMs = Math.max(world.nowMs, dueMs);
    runAll(world);
  }
  world.nowMs = untilMs;
}

function nextDueMs(world: World): number {
  let dueMs = world.jobs.some(({ place }) => place === "active") ? world.nextScanAtMs : NEVER;
  const at = (ms: number | undefined) => {
    if (ms !== undefined && ms < dueMs) dueMs = ms;
  };
  for (const { place, dueAtMs } of world.jobs) if (place === "delayed" && dueAtMs > world.nowMs) at(dueAtMs);
  if (world.jobs.some(({ end, expiresAtMs }) => !end && expiresAtMs !== undefined)) at(world.nextSweepAtMs);
  for (const instance of world.instances) {
    at(instance.backAtMs);
    at(promptEndsAtMs(instance));
    if (isIdleWithPrompt(instance)) at(world.nowMs);
  }
  for (const worker of world.workers) {
    if (worker.state === "dead" && world.isSupervised) at(world.nowMs);
    at(worker.thawsAtMs);
    if (worker.state !== "runs") continue;
    at(worker.actAtMs);
    if (mayClaim(world, worker)) at(world.nowMs);
    for (const held of worker.held) at(Math.min(held.renewAtMs, held.actAtMs, fenceLookAtMs(world, held)));
  }
  return dueMs;
}

function isIdleWithPrompt({ prompts, state, isZombie }: World["instances"][number]): boolean {
  return prompts[0] !== undefined && prompts[0].startedAtMs === undefined && state !== "down" && !isZombie;
}

/** Everything that is due now; then the promises are looked at. */
export function runAll(world: World): void {
  if (world.nextScanAtMs <= world.nowMs) runScan(world);
  if (world.nextSweepAtMs <= world.nowMs) runSweep(world);
  for (const instance of world.instances)
    if (runPrompts(world, instance) === "kills_worker")
      for (const worker of world.workers)
        if (worker.instance === instance && worker.state === "runs") die(world, worker);
  // Whoever waits longest is woken first; here they take turns.
  world.turn += 1;
  for (const at of world.workers.keys()) {
    const worker = world.workers[(at + world.turn) % world.workers.length];
    if (worker?.state === "dead" && world.isSupervised) start(world, worker);
    if (worker) runWorker(world, worker);
  }
  tellEnds(world);
  world.promises.look(world);
}

/** Any worker that lives and can ask makes BullMQ look for lost locks; the key of the scan is shared. */
function runScan(world: World): void {
  world.nextScanAtMs = world.nowMs + world.parts.settings.stalledScanMs;
  if (world.workers.some((worker) => worker.state === "runs" && canAsk(world, worker))) scan(world);
}

function runSweep(world: World): void {
  world.nextSweepAtMs = world.nowMs + world.parts.settings.sweepExpiredEveryMs;
  if (world.sweeperIsUp && world.redisIsUp) sweepExpired(world);
}

/** The dispatcher: what ended is told at least once; it may die between telling and noting that it has told. */
function tellEnds(world: World): void {
  if (!world.redisIsUp || world.outbox.length === 0) return;
  const tell = (serial: number) => {
    for (const { id, end } of world.outbox) {
      const event = {
        id: `${id}:${end?.status}${world.parts.rules.tellsWithSameId ? "" : serial}`,
        body: JSON.stringify(end),
      };
      world.promises.onTold(id, event);
    }
  };
  tell(0);
  if (world.tellerDies) tell(1);
  world.tellerDies = false;
  world.outbox = [];
}

/**
 * Everything is mended, what dies is started again, and time passes until all have ended. Who is frozen or cut off stays so
 * for a while: by then the others have done its work, and it comes back as a ghost.
 */
export function quiesce(world: World): void {
  Object.assign(world, { isSupervised: true, redisIsUp: true, storeIsUp: true, sweeperIsUp: true });
  for (const instance of world.instances) {
    if (instance.state === "unreachable") comeUp(world, instance);
    if (instance.state === "down" || instance.isZombie || instance.isSick) restart(world, instance);
  }
  for (const worker of world.workers) worker.failPoint = undefined;
  runAll(world);
  if (world.workers.some(({ state, line }) => state === "frozen" || line !== "whole")) tick(world, GHOST_MS);
  for (const worker of world.workers) {
    worker.line = "whole";
    thaw(world, worker);
  }
  const untilMs = world.nowMs + QUIET_MS;
  runAll(world);
  while (world.nowMs < untilMs && !isQuiet(world)) tick(world, 5_000);
  world.promises.atTheEnd();
}

/** All have ended, and nothing of ours is left on a GPU. */
function isQuiet({ jobs, instances }: World): boolean {
  return jobs.every(({ end }) => end) && instances.every(({ prompts }) => prompts.length === 0);
}
