import type { LeaseNews } from "@comfyq/queue/testing";
import { stopPrompt } from "./comfyui.ts";
import { noteHealth } from "./instanceWatch.ts";
import { renew, writePage } from "./queue.ts";
import type { Held, Worker, World } from "./state.ts";

/** Can it ask Redis now? A mute line carries the question, and no answer. */
export function canAsk(world: World, { line }: Worker): boolean {
  return world.redisIsUp && line !== "cut";
}

export function hears(world: World, { line }: Worker): boolean {
  return world.redisIsUp && line === "whole";
}

/** The next look of the fence's timer that can find the lease lost; the looks before it would change nothing. */
export function fenceLookAtMs({ parts }: World, { sinceMs, lookedAtMs, lease }: Held): number {
  if (!lease) return Number.POSITIVE_INFINITY;
  const { fenceMs, fenceCheckMs } = parts.settings;
  const lostAtMs = sinceMs + Math.ceil((lease.confirmedAtMs + fenceMs - sinceMs) / fenceCheckMs) * fenceCheckMs;
  return Math.max(lostAtMs, lookedAtMs + fenceCheckMs);
}

/** Asked of the clock, whether or not a timer has fired. */
export function isOurs(world: World, held: Held): boolean {
  learn(world, held, { kind: "looked", atMs: world.nowMs });
  return held.lease?.isLost === false;
}

function learn({ parts }: World, held: Held, news: LeaseNews): void {
  if (held.lease) held.lease = parts.leaseAfter(held.lease, news, parts.settings.fenceMs);
}

/** The timers of one held job: renewal, then the look of the fence. */
export function runTimers(world: World, worker: Worker, held: Held): void {
  if (held.renewAtMs <= world.nowMs) renewLock(world, worker, held);
  if (fenceLookAtMs(world, held) > world.nowMs) return;
  held.lookedAtMs = world.nowMs;
  if (!isOurs(world, held)) lose(world, worker, held);
}

function renewLock(world: World, worker: Worker, held: Held): void {
  held.renewAtMs = world.nowMs + world.parts.settings.renewMs;
  if (!held.lease || !canAsk(world, worker)) return;
  const isGranted = renew(world, held.job, held.token);
  // No answer is no confirmation; and while the job is being let go, a lock that is gone may have been given up by us.
  if (!hears(world, worker) || (!isGranted && held.stage === "moving")) return;
  learn(world, held, isGranted ? { kind: "granted", askedAtMs: world.nowMs } : { kind: "refused" });
  if (held.lease.isLost) lose(world, worker, held);
  else if (held.job.cancelWanted) held.hearsCancel = true;
}

/** The lock is, or must be assumed, another's: the GPU is stopped, and nothing but the attempt's own page is written. */
export function lose(world: World, worker: Worker, held: Held): void {
  world.promises.sees("fenced");
  const isAnothers = hears(world, worker) && worker.health.driver.kind === "other";
  if (held.promptId && held.mayRun && !isAnothers) worker.condemned.add(held.promptId);
  if (held.page) worker.owed.push({ job: held.job, page: { ...held.page, end: "given_back", error: null } });
  tidy(world, worker);
  held.mayRun = held.promptId !== undefined && worker.condemned.has(held.promptId);
  letGo(world, worker, held);
}

/** It is held no more. What it may have left at the instance is looked for. */
export function letGo(world: World, worker: Worker, held: Held): void {
  worker.held = worker.held.filter((other) => other !== held);
  const isUntouched = held.page && held.promptId === undefined && held.earlier.some((page) => page.prompt_id !== null);
  const isUnbegun = held.page === undefined && held.first.length > 0;
  if (held.mayRun || isUntouched || isUnbegun) noteHealth(world, worker, { kind: "look_again" });
}

/** What is still to be stopped, and to be written by a ghost, as soon as it can be. */
export function tidy(world: World, worker: Worker): void {
  for (const promptId of worker.condemned) if (stopPrompt(worker.instance, promptId)) worker.condemned.delete(promptId);
  if (worker.owed.length === 0 || !canAsk(world, worker)) return;
  for (const { job, page } of worker.owed) if (job.journal.get(page.epoch)?.end === null) writePage(job, page);
  worker.owed = [];
}
