import { monotonicMs, sleep } from "./clock.ts";
import type { DropReason } from "./heldJob.ts";
import { type LeaseNews, leaseAfter, newLease } from "./lease.ts";
import { type LockName, renewLock } from "./lockScripts.ts";
import { persist, within } from "./persist.ts";
import type { QueueRoom } from "./room.ts";

export interface Lock extends LockName {
  /** False once the lock is known, or must be assumed, to be another's. Asks the clock now. Never turns true again. */
  isOurs(): boolean;
  /** Aborts with `lock_lost` when `isOurs` turns false. */
  readonly lost: AbortSignal;
  /** Redis has said that the lock is not ours. */
  lose(): void;
  /**
   * Runs the step that gives the lock up; it says whether it worked, else the lock was another's. A renewal that finds it gone
   * meanwhile means nothing: it was us. The fence goes on. Afterwards nothing is renewed any more.
   */
  givingUp(step: () => Promise<boolean>): Promise<boolean>;
  stop(): void;
}

/**
 * Renews the lock of one job, and fences: when no renewal was confirmed for `fenceMs` the job is given up here before the
 * lock can end there, counted on a clock that goes on while the process is stopped. Each renewal also looks for a wish to
 * cancel, in case its message was lost.
 * @returns undefined when the lock is gone already; waits for Redis no longer than the lock can last
 */
export async function keepLock(room: QueueRoom, name: LockName, onCanceled: () => void): Promise<Lock | undefined> {
  const askedAtMs = await firstRenewal(room, name, onCanceled);
  if (askedAtMs === undefined) return undefined;
  const { settings } = room;
  const lost = new AbortController();
  const stopped = new AbortController();
  let lease = newLease(askedAtMs);
  let isGivingUp = false;
  const learn = (news: LeaseNews) => {
    if (stopped.signal.aborted) return;
    lease = leaseAfter(lease, news, settings.fenceMs);
    if (!lease.isLost) return;
    stopped.abort();
    lost.abort("lock_lost" satisfies DropReason);
  };
  const look = () => learn({ kind: "looked", atMs: monotonicMs() });
  const renew = async () => {
    const askedMs = monotonicMs();
    const answer = await renewLock(room, name);
    if (answer === "refused" && isGivingUp) return;
    learn(answer === "refused" ? { kind: "refused" } : { kind: "granted", askedAtMs: askedMs });
    if (answer === "canceled") onCanceled();
  };
  void repeat(settings.fenceCheckMs, stopped.signal, look);
  // No answer is no confirmation: the fence decides.
  void repeat(settings.renewMs, stopped.signal, () => void renew().catch(() => {}));
  return {
    ...name,
    isOurs: () => {
      look();
      return !stopped.signal.aborted;
    },
    lost: lost.signal,
    lose: () => learn({ kind: "refused" }),
    givingUp: async (step) => {
      isGivingUp = true;
      try {
        const worked = await step();
        if (!worked) learn({ kind: "refused" });
        stopped.abort();
        return worked;
      } finally {
        isGivingUp = false;
      }
    },
    stop: () => stopped.abort(),
  };
}

/**
 * BullMQ's answer to a claim does not say when the lock began: the process may have slept since. So the lock is counted from
 * a renewal of our own.
 * @returns when it was asked for; undefined when the lock is another's or must have run out
 */
async function firstRenewal(room: QueueRoom, name: LockName, onCanceled: () => void): Promise<number | undefined> {
  const { lockMs, renewMs } = room.settings;
  const claimedAtMs = monotonicMs();
  for (let askedAtMs = claimedAtMs; askedAtMs - claimedAtMs < lockMs; askedAtMs = monotonicMs()) {
    try {
      const answer = await within(lockMs, renewLock(room, name));
      if (answer === "refused") return undefined;
      if (answer === "canceled") onCanceled();
      // One that was answered late would soon be fenced: ask again.
      if (monotonicMs() - askedAtMs < renewMs) return askedAtMs;
    } catch {
      await sleep(Math.min(renewMs, 250));
    }
  }
  return undefined;
}

/**
 * Repeats a step through all troubles of Redis while the lock may be ours, asking the clock before each try.
 * @throws `lock_lost`, at once
 */
export function whileOurs<T>(lock: Lock, step: () => Promise<T>): Promise<T> {
  return persist(lock.lost, () => {
    lock.isOurs();
    lock.lost.throwIfAborted();
    return step();
  });
}

async function repeat(everyMs: number, stopped: AbortSignal, act: () => void): Promise<void> {
  for (;;) {
    await sleep(everyMs, stopped);
    if (stopped.aborted) return;
    act();
  }
}
