import { type CacheEntry, filenamePrefixes, type Manifest, mayHaveLeftPrompt, type Workflow } from "@comfyq/contract";
import { queueAnswers } from "./answers.ts";
import { publishEntry } from "./cacheEntries.ts";
import { cacheKeyOf } from "./cacheKey.ts";
import type { Desk, Found } from "./desk.ts";
import { type Berth, type BoardingMode, board, leaveFlight } from "./flights.ts";
import { whileOurs } from "./keepLock.ts";
import { setSubject } from "./lockScripts.ts";
import type { Outcome } from "./outcome.ts";
import type { Hold } from "./settle.ts";

/** A held job's part in the result cache. */
export interface CacheSeat {
  /**
   * Asks, before anything is rendered, whether the result is there or on its way. Safe to repeat; a subject that is another one
   * than before gives up the place that was held for that.
   * @param subject sha256 of `resultText`
   * @throws the DropReason `lock_lost`
   */
  board(subject: string): Promise<Berth>;
}

/** The same, as the queue itself uses it. */
export interface OpenSeat extends CacheSeat {
  /** What is known before it is begun. @returns undefined when nothing is */
  boardUnbegun(): Promise<Berth | undefined>;
  /** Whoever was to answer it does not: it renders, and asks no more. */
  goOnRegardless(): void;
  /** After the job was let go: keeps its result for others, or lets the next one render. */
  settled(outcome: Outcome, workflow: Workflow | undefined): Promise<void>;
}

/** @returns undefined for a job that has nothing to do with the cache */
export function takeSeat(desk: Desk, hold: Hold, { record, earlier }: Found): OpenSeat | undefined {
  const { room, lock, epoch } = hold;
  const { cacheLimits: limits, fingerprint } = desk;
  const mode = record.head.cache;
  if (!limits || mode === undefined || fingerprint === undefined) return undefined;
  let taken: { readonly key: string; readonly berth: Berth } | undefined;
  let isRegardless = false;
  const wanted = (key: string) => ({ tenant: record.tenant, key, jobId: lock.jobId, pool: lock.pool });
  const leaveOld = (key: string) => whileOurs(lock, () => leaveFlight(room, wanted(key)));
  const boardAs = async (as: BoardingMode, subject: string): Promise<Berth> => {
    const key = cacheKeyOf(subject, fingerprint);
    if (taken && taken.key !== key) await leaveOld(taken.key);
    const asked = isRegardless ? "reclaim" : as;
    const berth = await whileOurs(lock, () => board(room, wanted(key), asked));
    taken = { key, berth };
    return berth;
  };
  return {
    board: async (subject) => {
      if (subject !== record.head.subject && subject !== record.learnedSubject)
        await whileOurs(lock, () => setSubject(room, lock, subject));
      return boardAs(mode, subject);
    },
    boardUnbegun: async () => {
      const hasPrompt = earlier.some(mayHaveLeftPrompt);
      // What a prompt that was left was made of is known only where it cannot have changed since.
      const subject = record.head.subject ?? (hasPrompt ? undefined : record.learnedSubject);
      return subject === undefined ? undefined : boardAs(hasPrompt ? "reclaim" : mode, subject);
    },
    goOnRegardless: () => {
      isRegardless = true;
    },
    settled: async (outcome, workflow) => {
      if (!taken) return;
      const { key, berth } = taken;
      if (outcome.kind === "give_back") return; // it is the next to be claimed, and leads on
      if (outcome.kind === "shared") {
        if (berth.kind === "hit") await queueAnswers(room, wanted(key), [lock.jobId]);
        return;
      }
      const isMade = outcome.kind === "succeeded" && !outcome.manifest.cached && outcome.manifest.epoch === epoch;
      if (!isMade || !workflow) return leaveFlight(room, wanted(key));
      const followers = await publishEntry(room, wanted(key), { entry: entryOf(outcome.manifest, workflow), limits });
      desk.onRendered(followers.length);
      if (followers.length > 0) await queueAnswers(room, wanted(key), followers);
    },
  };
}

function entryOf(manifest: Manifest, workflow: Workflow): CacheEntry {
  const sizes = manifest.outputs.map((output) => ("size_bytes" in output ? output.size_bytes : 0));
  return {
    v: 1,
    job_id: manifest.job_id,
    epoch: manifest.epoch,
    sealed_at: manifest.sealed_at,
    size_bytes: sizes.reduce((sum, size) => sum + size, 0),
    prefixes: filenamePrefixes(workflow),
  };
}
