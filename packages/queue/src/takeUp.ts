import { type Attempt, type JobFailure, jobFailure } from "@comfyq/contract";
import type { Job as BullJob } from "bullmq";
import type { Desk, Drop } from "./desk.ts";
import { canPlaceModels, neighboursOf } from "./fleet.ts";
import type { DropReason, HeldJob } from "./heldJob.ts";
import { holdJob } from "./hold.ts";
import { type ClaimFacts, judgeClaim } from "./judgeClaim.ts";
import { keepLock, whileOurs } from "./keepLock.ts";
import { setPriority } from "./lockScripts.ts";
import { type Papers, readPapers } from "./papers.ts";
import { askedEarly, orAborted } from "./persist.ts";
import { putOff } from "./putOff.ts";
import { redisNowMs } from "./redisClock.ts";
import { type Hold, isLockLost, settle } from "./settle.ts";

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
    case "decline":
      return decline(desk, hold, availabilityOf(lock.jobId, papers.earlier));
    case "take":
      return holdJob(desk, hold, { ...papers, drop });
  }
}

/** Patience begins anew with each attempt that somebody began. */
function availabilityOf(jobId: string, earlier: readonly Attempt[]): string {
  return `${jobId}:${earlier.at(-1)?.epoch ?? 0}`;
}

/** Most jobs have never been started: of those nobody else needs to be asked anything. */
async function gatherFacts(
  desk: Desk,
  { room, lock }: Hold,
  { record, earlier }: Exclude<Papers, { unreadable: string }>,
): Promise<Omit<ClaimFacts, "cancelWanted">> {
  const isNew = earlier.length === 0;
  const expiresAtMs =
    record.head.expires_in_s === undefined ? undefined : record.createdAtMs + record.head.expires_in_s * 1_000;
  return {
    earlier,
    instance: desk.instance,
    instance_id: desk.instanceId,
    neighbours: isNew ? [] : await neighboursOf(room, desk.pool, desk.workerId),
    expiresAtMs,
    nowMs: isNew && expiresAtMs !== undefined ? await redisNowMs(room.redis) : 0,
    declinedForMs: desk.declines.declinedForMs(availabilityOf(lock.jobId, earlier)),
    isForOthers: record.head.bringsModels && !desk.placesModels && (await canPlaceModels(room, desk.pool)),
    redisWasAway: desk.pulse.wasAwayWithin(room.settings.homePatienceMs),
  };
}

function endUnread(desk: Desk, hold: Hold, why: string): Promise<undefined> {
  const error = jobFailure("internal", `This job cannot be started: ${why}; submit it again`);
  desk.onNotTaken({ jobId: hold.lock.jobId, verdict: { kind: "end", error } });
  return endUnbegun(hold, error);
}

/** Ends a job whose attempt was never begun: the journal has no page for it. */
async function endUnbegun(hold: Hold, error: JobFailure): Promise<undefined> {
  await settle(hold, { kind: "failed", error }, async () => {});
}

/**
 * Puts the job aside for a moment, for somebody else to claim. It was the next in line, and so it shall be again: BullMQ
 * would put it behind all others of its priority, but one without a priority goes before them.
 */
async function decline(desk: Desk, { room, lock, bullJob }: Hold, availability: string): Promise<undefined> {
  const waitMs = desk.declines.decline(availability);
  await lock.givingUp(() =>
    whileOurs(lock, async () => {
      if (!(await setPriority(room, lock, 0))) return false;
      try {
        await putOff(room, { bullJob, pool: lock.pool, token: lock.token }, waitMs);
        return true;
      } catch (error) {
        if (isLockLost(error)) return false;
        throw error;
      }
    }),
  );
}
