import { type Attempt, type JobFailure, jobFailure, mayHaveLeftPrompt } from "@comfyq/contract";
import type { Job as BullJob } from "bullmq";
import { takeSeat } from "./cacheSeat.ts";
import { chargeDeaths } from "./chargeDeaths.ts";
import type { Desk, Drop, Found } from "./desk.ts";
import { canPlaceModels, neighboursOf } from "./fleet.ts";
import type { DropReason, HeldJob } from "./heldJob.ts";
import { holdJob } from "./hold.ts";
import { type ClaimFacts, judgeClaim } from "./judgeClaim.ts";
import { keepLock, whileOurs } from "./keepLock.ts";
import { type Papers, readPapers } from "./papers.ts";
import { askedEarly, orAborted } from "./persist.ts";
import { putAside } from "./putAside.ts";
import { redisNowMs } from "./redisClock.ts";
import { leaveSeat, takeRunningSeat } from "./seats.ts";
import { type Hold, settle } from "./settle.ts";
import { shareWaitMs } from "./shareWait.ts";

/**
 * Makes a claimed BullJob a job that is held, unless it is better left to another or should not be begun at all.
 * @returns undefined when it was declined or ended, or when its lock was lost meanwhile: the worker goes on with the next
 */
export async function takeUp(desk: Desk, bullJob: BullJob, token: string): Promise<HeldJob | undefined> {
  const { room, pool } = desk;
  const jobId = String(bullJob.id);
  const drop = new AbortController();
  const dropFor = (reason: DropReason) => drop.abort(reason);
  const unlisten = desk.cancels.listen(jobId, () => dropFor("canceled"));
  const papers = askedEarly(() => readPapers(room, jobId)); // while the lock is made sure of
  const lock = await keepLock(room, { jobId, pool, token }, () => dropFor("canceled"));
  let held: HeldJob | undefined;
  try {
    if (!lock) return undefined;
    lock.lost.addEventListener("abort", () => dropFor("lock_lost"), { once: true });
    lock.lost.addEventListener("abort", unlisten, { once: true });
    const hold: Hold = { room, bullJob, lock, epoch: bullJob.attemptsStarted };
    held = await judgeAndBegin(desk, hold, { drop: { signal: drop.signal, unlisten }, papers });
    return held;
  } catch (error) {
    if (lock?.lost.aborted) return undefined;
    throw error;
  } finally {
    if (!held) {
      lock?.stop();
      unlisten();
    }
  }
}

interface Beginning {
  readonly drop: Drop;
  readonly papers: () => Promise<Papers>;
}

async function judgeAndBegin(desk: Desk, hold: Hold, beginning: Beginning): Promise<HeldJob | undefined> {
  const { drop } = beginning;
  const { room, lock } = hold;
  const papers = await whileOurs(lock, beginning.papers);
  if ("unreadable" in papers) return endUnread(desk, hold, papers.unreadable);
  const facts = await whileOurs(lock, () => gatherFacts(desk, hold, papers));
  const job = { id: lock.jobId, tenant: papers.record.tenant, timeoutMs: papers.record.head.timeout_s * 1_000 };
  await whileOurs(lock, () => chargeDeaths(room, job, papers.earlier));
  const cancelWanted = papers.record.cancelRequestedAtMs !== undefined || drop.signal.aborted;
  const settings = room.breaks.has("no_poison_limit")
    ? { ...room.settings, poisonDeaths: Number.POSITIVE_INFINITY }
    : room.settings;
  const verdict = judgeClaim({ ...facts, cancelWanted }, settings);
  if (verdict.kind !== "take") desk.onNotTaken({ jobId: lock.jobId, verdict });
  switch (verdict.kind) {
    case "end":
      await orAborted(lock.lost, desk.beforeEnding(lock.jobId, papers.earlier, lock.lost)).catch(() => {});
      return endUnbegun(hold, verdict.error);
    case "decline": {
      const isTooNew = verdict.why === "too_new"; // back at once, to whoever has no need to wait
      const name = availabilityOf(lock.jobId, papers.earlier);
      await putAside(hold, isTooNew ? 1 : desk.declines.decline(name));
      return undefined;
    }
    case "take":
      if (!(await sitDown(desk, hold, papers))) return undefined;
      return holdOrShare(desk, hold, { ...papers, drop });
  }
}

/**
 * Of a tenant that is limited so many jobs run at once. One that is too many is put aside, and woken when one of them ends. A job
 * whose prompt may still render somewhere takes a seat in any case: it is running already.
 * @returns false when it was put aside
 */
async function sitDown(desk: Desk, hold: Hold, { record, earlier }: Found): Promise<boolean> {
  const { room, lock } = hold;
  const { running, queued } = desk.limits.of(record.tenant);
  if (running == null && queued == null) return true;
  const { jobId, pool } = lock;
  const limit = earlier.some(mayHaveLeftPrompt) ? undefined : (running ?? undefined);
  const sitting = { jobId, pool, tenant: record.tenant, priority: record.head.priority };
  const place = await whileOurs(lock, () => takeRunningSeat(room, sitting, limit));
  if (place === undefined) return true;
  desk.onNotTaken({ jobId, verdict: { kind: "decline", why: "limited" } });
  await putAside(hold, Math.min(room.settings.followMs * (place + 1), room.settings.longestSeatWaitMs));
  return false;
}

/** Patience begins anew with each attempt that somebody began. */
function availabilityOf(jobId: string, earlier: readonly Attempt[]): string {
  return `${jobId}:${earlier.at(-1)?.epoch ?? 0}`;
}

/** Most jobs have never been started: of those nobody else needs to be asked anything. */
async function gatherFacts(
  desk: Desk,
  { room, lock }: Hold,
  { record, earlier }: Found,
): Promise<Omit<ClaimFacts, "cancelWanted">> {
  const isNew = earlier.length === 0;
  const expiresAtMs =
    record.head.expires_in_s === undefined ? undefined : record.createdAtMs + record.head.expires_in_s * 1_000;
  const needsClock = isNew && (expiresAtMs !== undefined || desk.overflowMs > 0);
  const nowMs = needsClock ? await redisNowMs(room.redis) : 0;
  return {
    earlier,
    instance: desk.instance,
    instance_id: desk.instanceId,
    neighbours: isNew ? [] : await neighboursOf(room, desk.pool, desk.workerId),
    expiresAtMs,
    nowMs,
    declinedForMs: desk.declines.declinedForMs(availabilityOf(lock.jobId, earlier)),
    isForOthers: record.head.bringsModels && !desk.placesModels && (await canPlaceModels(room, desk.pool)),
    isTooNew: isNew && desk.overflowMs > 0 && nowMs - waitsSinceMs(record) < desk.overflowMs,
    redisWasAway: desk.pulse.wasAwayWithin(room.settings.homePatienceMs),
  };
}

/** As the order of claims counts it (ageing.ts). */
function waitsSinceMs({ createdAtMs, head }: Found["record"]): number {
  return head.run_at === undefined ? createdAtMs : Date.parse(head.run_at);
}

function endUnread(desk: Desk, hold: Hold, why: string): Promise<undefined> {
  const error = jobFailure("internal", `This job cannot be started: ${why}; submit it again`);
  desk.onNotTaken({ jobId: hold.lock.jobId, verdict: { kind: "end", error } });
  return endUnbegun(hold, error);
}

/** Ends a job whose attempt was never begun: the journal has no page for it. */
async function endUnbegun(hold: Hold, error: JobFailure): Promise<undefined> {
  await settle(hold, { kind: "failed", error });
}

/** Begins it, unless an identical job has its result or renders it now. */
async function holdOrShare(
  desk: Desk,
  hold: Hold,
  found: Found & { readonly drop: Drop },
): Promise<HeldJob | undefined> {
  const { jobId } = hold.lock;
  const seat = takeSeat(desk, hold, found);
  const berth = await seat?.boardUnbegun();
  if (berth?.kind === "hit" && desk.declines.declinedForMs(`answer:${jobId}`) >= desk.room.settings.answerPatienceMs)
    seat?.goOnRegardless();
  else if (berth?.kind === "hit" || berth?.kind === "follow") {
    desk.onNotTaken({ jobId, verdict: { kind: "decline", why: berth.kind === "hit" ? "cached" : "shared" } });
    if (berth.kind === "hit") desk.declines.decline(`answer:${jobId}`);
    await leaveSeat(desk.room, found.record.tenant, jobId).catch(() => {}); // or it is free when its lock is gone
    await putAside(hold, shareWaitMs(berth, desk.room.settings));
    await seat?.settled({ kind: "shared", berth }, undefined);
    return undefined;
  }
  return holdJob(desk, hold, { ...found, seat });
}
