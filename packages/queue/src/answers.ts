import { type JobEvent, jobFailure, type Manifest, type OutputOptions } from "@comfyq/contract";
import type { Answer, RecordRequest } from "./envelopes.ts";
import type { Wanted } from "./flights.ts";
import { appendEvent } from "./jobEvents.ts";
import { keepLock, whileOurs } from "./keepLock.ts";
import { claimThis } from "./lockScripts.ts";
import { putAside } from "./putAside.ts";
import { readRecord, readRequest } from "./record.ts";
import type { QueueRoom } from "./room.ts";
import { type Hold, settle } from "./settle.ts";

/**
 * Has jobs answered with a result that is there. Safe to repeat: a job is answered once, and one that does not wait is left
 * alone. Who is not told so finds the result when a worker has claimed it. Each telling is one of its own: named after the job, a
 * second one would be dropped while the first has just found the job in a worker's hands.
 */
export async function queueAnswers(room: QueueRoom, found: Omit<Wanted, "jobId">, jobIds: readonly string[]) {
  const { tenant, key } = found;
  const opts = {
    attempts: 5,
    backoff: { type: "fixed", delay: 1_000 },
    stackTraceLimit: 1,
    removeOnComplete: true,
    removeOnFail: true,
  };
  await room.answers.addBulk(
    jobIds.map((jobId) => {
      const data: Answer = { v: 1, tenant, jobId, key };
      return { name: "answer", data, opts };
    }),
  );
}

/** A job that was taken out of its queue, from wherever it stood, to be given a result without an attempt at it. */
export interface Answerable {
  readonly id: string;
  /** Number of this start: where its files go. */
  readonly epoch: number;
  readonly request: RecordRequest;
  /** What its customer asked to become of its files. */
  readonly output: OutputOptions | undefined;
  /** Aborts when its customer cancels it, or the lock is lost. */
  readonly signal: AbortSignal;
  /** As HeldJob's. */
  isOurs(): boolean;
  show(event: JobEvent): void;
  /** The manifest is sealed. @returns false when the lock was lost */
  end(manifest: Manifest): Promise<boolean>;
  /** Ends it as canceled, if that is why the signal aborted; else lets it go, to be claimed by a worker after a while. */
  letGo(afterMs: number): Promise<void>;
}

let serial = 0;

/**
 * Takes one job out of its queue as BullMQ would give it to a worker. Should this process die, the scan for lost locks brings
 * it back.
 * @returns undefined when it does not wait, or not yet (`run_at`), or somebody wants it canceled
 */
export async function claimAnswerable(
  room: QueueRoom,
  { tenant, jobId }: Omit<Wanted, "key">,
  by: { readonly name: string; readonly nowMs: number },
): Promise<Answerable | undefined> {
  const record = await readRecord(room.redis, room.names, jobId);
  if (!record || record.tenant !== tenant || record.cancelRequestedAtMs !== undefined) return undefined;
  if (record.head.run_at !== undefined && Date.parse(record.head.run_at) > by.nowMs) return undefined;
  serial += 1;
  const name = { jobId, pool: record.pool, token: `${by.name}:${by.nowMs}:${serial}` };
  if (!(await claimThis(room, name, by))) return undefined;
  const drop = new AbortController();
  const lock = await keepLock(room, name, () => drop.abort("canceled"));
  if (!lock) return undefined;
  lock.lost.addEventListener("abort", () => drop.abort("lock_lost"), { once: true });
  const bullJob = await whileOurs(lock, () => room.jobs(record.pool).getJob(jobId));
  const papers = await whileOurs(lock, () => readRequest(room.redis, room.names, jobId));
  if (!bullJob || !papers) {
    lock.stop();
    return undefined; // swept, which nobody does to a job that has not ended
  }
  const hold: Hold = { room, bullJob, lock, epoch: bullJob.attemptsStarted };
  const letGo = async (afterMs: number) => {
    if (lock.lost.aborted) return;
    if (drop.signal.aborted) await end(hold, jobFailure("canceled", "Canceled before it started"));
    else await putAside(hold, afterMs);
    lock.stop();
  };
  return {
    id: jobId,
    epoch: hold.epoch,
    request: papers.request,
    output: record.head.output,
    signal: drop.signal,
    isOurs: () => lock.isOurs(),
    show: (event) => {
      if (lock.isOurs()) void appendEvent(room, jobId, event).catch(() => {});
    },
    end: async (manifest) => {
      const ended = await settle(hold, { kind: "succeeded", manifest });
      lock.stop();
      return ended;
    },
    letGo,
  };
}

/** There was no attempt, so the journal has no page to write its end into. */
function end(hold: Hold, error: ReturnType<typeof jobFailure>): Promise<boolean> {
  return settle(hold, { kind: "failed", error });
}
