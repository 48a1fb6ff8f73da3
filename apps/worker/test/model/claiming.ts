import type { Attempt, Place } from "@comfyq/contract";
import { type ClaimFacts, newLease } from "@comfyq/queue/testing";
import type { Next } from "./attempt.ts";
import { isWell, noteHealth } from "./instanceWatch.ts";
import { canAsk, hears, isOurs } from "./lock.ts";
import { decline, earlierTries, isLocked, renew, writePage } from "./queue.ts";
import { stopEarlier } from "./rendering.ts";
import { type Held, placeOf, type Worker, type World } from "./state.ts";

/** The first renewal, asked for until the lock must have run out: a lease counts from a question of our own. */
export function lockIt(world: World, worker: Worker, held: Held): Next {
  if (world.nowMs - held.sinceMs >= world.parts.settings.lockMs) return "gone";
  if (!canAsk(world, worker)) return "again";
  const isGranted = !world.parts.rules.asksForItsLock || renew(world, held.job, held.token);
  if (!hears(world, worker)) return "again";
  if (!isGranted) return "gone";
  held.lease = newLease(world.nowMs);
  held.renewAtMs = world.nowMs + world.parts.settings.renewMs;
  return "locked";
}

/** To be begun here, or better left to another, or not to be begun at all? */
export function judge(world: World, worker: Worker, held: Held): Next {
  if (!isOurs(world, held)) return "lost";
  if (!hears(world, worker)) return "again";
  const { job, epoch } = held;
  held.earlier = earlierTries(job, epoch);
  const verdict = world.parts.judgeClaim(claimFacts(world, worker, held), world.parts.settings);
  if (verdict.kind === "take") return begin(world, worker, held);
  if (verdict.kind === "decline") {
    world.promises.sees(`declined ${verdict.why}`);
    return putAside(world, worker, held);
  }
  if (verdict.error.code === "poison") world.promises.onPoison(job, epoch);
  stopEarlier(world, worker, held);
  return { kind: "failed", error: verdict.error };
}

function claimFacts(world: World, worker: Worker, held: Held): ClaimFacts {
  return {
    earlier: held.earlier,
    ...placeOf(worker.instance),
    neighbours: neighboursOf(world, worker),
    cancelWanted: held.job.cancelWanted,
    expiresAtMs: held.job.expiresAtMs,
    nowMs: world.nowMs,
    declinedForMs: world.nowMs - (worker.declining.get(availabilityOf(held)) ?? world.nowMs),
    isForOthers: false,
    isTooNew: false,
    redisWasAway: world.nowMs - worker.redisBackAtMs < world.parts.settings.homePatienceMs,
  };
}

/** Patience begins anew with each attempt that somebody began. */
function availabilityOf({ job, earlier }: Held): string {
  return `${job.id}:${earlier.at(-1)?.epoch ?? 0}`;
}

/** Other workers of the pool that take jobs, as their last beat told. */
export function neighboursOf(world: World, worker: Worker): readonly Place[] {
  return world.workers
    .filter((other) => other !== worker && other.told === "takes jobs")
    .filter((other) => world.nowMs - other.heardAtMs < world.parts.settings.beatTtlMs)
    .map(({ instance }) => placeOf(instance));
}

function putAside(world: World, worker: Worker, held: Held): Next {
  const { firstDeclineMs, declineMs } = world.parts.settings;
  const availability = availabilityOf(held);
  const sinceMs = worker.declining.get(availability);
  worker.declining.set(availability, sinceMs ?? world.nowMs);
  decline(world, held.job, { token: held.token, ms: sinceMs === undefined ? firstDeclineMs : declineMs });
  return "gone";
}

/** From its first page on, a worker that dies has died of this job. */
function begin(world: World, worker: Worker, held: Held): Next {
  const { job, token, epoch, first } = held;
  if (!isLocked(world, job, token)) return "lost";
  held.page = newPage(worker, epoch);
  writePage(job, held.page);
  world.promises.onBegin(world, worker, held);
  const isRight = isWell(world, worker) && (first.length === 0 || first.includes(job.id));
  if (first.length > 0) noteHealth(world, worker, { kind: "look_again" });
  if (isRight) return "preparing";
  world.promises.onGivenBack(held);
  return { kind: "give_back", reason: "its ComfyUI is not well, or the prompt of another job still runs there" };
}

function newPage({ name: worker, instance }: Worker, epoch: number): Attempt {
  return {
    epoch,
    worker,
    instance: instance.address,
    instance_id: instance.name,
    stage: "preparing",
    started_at: "2026-01-01T00:00:00.000Z",
    ended_at: null,
    end: null,
    counted: false,
    prompt_id: null,
    prepare_ms: null,
    render_ms: null,
    store_ms: null,
    error: null,
    stop: null,
  };
}
