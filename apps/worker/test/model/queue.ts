import type { Attempt, JobStatus } from "@comfyq/contract";
import type { Outcome } from "@comfyq/queue";
import type { Job, World } from "./state.ts";

/** BullMQ and the record, as far as they were measured (reference: bullmq.md): every call is one script in Redis. */

/** Does this token still hold the job? A lock that ran out is gone even before a scan has seen it. */
export function isLocked({ nowMs }: World, { place, lock }: Job, token: string): boolean {
  return place === "active" && lock?.token === token && lock.untilMs > nowMs;
}

export function canBeClaimed({ nowMs }: World, { place, dueAtMs }: Job): boolean {
  return place === "waiting" || (place === "delayed" && dueAtMs <= nowMs);
}

/** Lends the first job that waits; those in `first` go before all others. */
export function claim(world: World, token: string, first: readonly string[]): Job | undefined {
  const waiting = world.jobs.filter((job) => canBeClaimed(world, job) || (first.includes(job.id) && isWaiting(job)));
  const [job] = waiting.sort((a, b) => Number(first.includes(b.id)) - Number(first.includes(a.id)) || a.rank - b.rank);
  if (!job) return undefined;
  job.place = "active";
  job.isSuspected = false;
  job.started += 1;
  job.lock = { token, untilMs: world.nowMs + world.parts.settings.lockMs };
  return job;
}

export function isWaiting({ place }: Job): boolean {
  return place === "waiting" || place === "delayed";
}

/** @returns false when the lock is gone or another's */
export function renew(world: World, job: Job, token: string): boolean {
  if (!isLocked(world, job, token)) return false;
  job.lock = { token, untilMs: world.nowMs + world.parts.settings.lockMs };
  job.isSuspected = false;
  return true;
}

/** Puts a claimed job back without a try. @returns false when the lock is gone */
export function decline(
  world: World,
  job: Job,
  { token, ms }: { readonly token: string; readonly ms: number },
): boolean {
  if (!isLocked(world, job, token)) return false;
  world.frontRank -= 1;
  delay(world, job, { ms, rank: world.frontRank }); // without a priority it is the next in line again
  return true;
}

function delay({ nowMs }: World, job: Job, { ms, rank }: { readonly ms: number; readonly rank: number }): void {
  Object.assign(job, { place: "delayed", dueAtMs: nowMs + ms, rank, lock: undefined });
}

function putFirst(world: World, job: Job): void {
  world.frontRank -= 1;
  Object.assign(job, { place: "waiting", rank: world.frontRank, lock: undefined, isSuspected: false });
}

/** Lets a job go under its token. @returns false when it is not this token's any more */
export function settle(
  world: World,
  job: Job,
  { token, outcome }: { readonly token: string; readonly outcome: Outcome },
): boolean {
  if (world.parts.rules.settleChecksToken && !isLocked(world, job, token)) return false;
  world.promises.onPutBack(job, outcome);
  switch (outcome.kind) {
    case "succeeded":
      end(world, job, { status: "succeeded" });
      break;
    case "failed": {
      const { code } = outcome.error;
      end(world, job, { status: code === "canceled" || code === "expired" ? code : "failed", code });
      break;
    }
    case "retry":
      world.backRank += 1;
      delay(world, job, { ms: outcome.afterMs, rank: world.backRank });
      break;
    case "give_back":
    case "shared": // no two jobs of the model are identical
      putFirst(world, job);
  }
  return true;
}

function end(world: World, job: Job, how: NonNullable<Job["end"]>): void {
  Object.assign(job, { place: "ended", end: how, lock: undefined, isSuspected: false });
  world.promises.onEnd(world, job);
}

/** The customer cancels. A waiting job is taken out in the same script; a held one is told. @returns was it taken out? */
export function cancel(world: World, job: Job): boolean {
  if (job.end) return false;
  job.cancelWanted = true;
  if (isWaiting(job)) end(world, job, { status: "canceled" });
  return job.end !== undefined;
}

/** The sweeper of `expires_in_s`: ends what was never begun. */
export function sweepExpired(world: World): void {
  for (const job of world.jobs)
    if (
      isWaiting(job) &&
      statusOf(world, job) === "queued" &&
      job.journal.size === 0 &&
      (job.expiresAtMs ?? Number.POSITIVE_INFINITY) <= world.nowMs
    )
      end(world, job, { status: "expired" });
}

/** moveStalledJobsToWait: who is active twice in a row and has no lock waits again. */
export function scan(world: World): void {
  for (const job of world.jobs) {
    if (job.place !== "active") continue;
    const isLost = job.isSuspected && (job.lock === undefined || job.lock.untilMs <= world.nowMs);
    if (isLost) {
      world.promises.onLockLost(job);
      putFirst(world, job);
    } else job.isSuspected = true;
  }
}

export function writePage({ journal }: Job, page: Attempt): void {
  journal.set(page.epoch, { ...page });
}

/** Tries before this start, oldest first. */
export function earlierTries({ journal }: Job, epoch: number): readonly Attempt[] {
  return [...journal.values()].filter((page) => page.epoch < epoch).sort((a, b) => a.epoch - b.epoch);
}

/** What the customer sees now. */
export function statusOf(world: World, job: Job): JobStatus {
  if (job.end) return job.end.status;
  const state = job.place === "active" ? "active" : "waiting";
  return world.parts.openStatus({ state, isBegun: job.journal.has(job.started), cancelRequested: job.cancelWanted });
}
