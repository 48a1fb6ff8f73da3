import { type Attempt, type AttemptEnd, toMoment } from "@comfyq/contract";
import * as z from "zod";
import { nowMs } from "./clock.ts";
import type { HeldJob } from "./heldJob.ts";
import { appendEvent } from "./jobEvents.ts";
import { type Lock, whileOurs } from "./keepLock.ts";
import { correctPage, writeJournal } from "./lockScripts.ts";
import { persist } from "./persist.ts";
import { readJson } from "./readAttempt.ts";
import type { QueueRoom } from "./room.ts";

/** One attempt's page of the journal. */
export interface Page {
  readonly write: HeldJob["journal"];
  /** After the lock was lost: says that this attempt did not die. Waits for Redis until `closing`; never throws. */
  closeAsGhost(closing: AbortSignal): Promise<void>;
}

interface PageOptions {
  readonly epoch: number;
  readonly workerId: string;
  readonly instance: string;
  readonly instanceId: string | undefined;
}

/** An unwritten page. The first write opens it and shows the job as running. */
export function newPage(room: QueueRoom, lock: Lock, options: PageOptions): Page {
  const { epoch } = options;
  const field = String(epoch);
  let facts = blankAttempt(options);
  let shownStage: Attempt["stage"] | undefined;
  return {
    write: async (news) => {
      facts = { ...facts, ...news };
      // Each try writes the newest facts, so that a write which had to be repeated cannot undo a later one.
      const isWritten = await whileOurs(lock, () => writeJournal(room, lock, { field, text: JSON.stringify(facts) }));
      if (!isWritten) {
        lock.lose();
        lock.lost.throwIfAborted();
        return; // let go already
      }
      if (facts.stage === shownStage || facts.end !== null) return;
      shownStage = facts.stage;
      const data = { status: "running", stage: facts.stage, attempt: epoch, error: null } as const;
      void appendEvent(room, lock.jobId, { event: "status", data }).catch(() => {}); // the journal is the truth
    },
    closeAsGhost: (closing) =>
      persist(closing, async () => {
        const kept = await room.redis.hget(room.names.attempts(lock.jobId), field);
        const page = z.record(z.string(), z.unknown()).safeParse(readJson(kept ?? "")).data;
        // Its end may have been written, and even have come true without our hearing it.
        if (!page || page["end"] !== null) return;
        // What it had found out stands, though it came too late to decide: a ComfyUI that died of this job is to be counted.
        const { error } = facts;
        const end = { end: "given_back" satisfies AttemptEnd, ended_at: toMoment(nowMs()), counted: false, error };
        await correctPage(room, lock.jobId, { field, text: JSON.stringify({ ...page, ...end }) });
      }).catch(() => {}), // the process closes: the attempt then looks like a death, which it nearly is
  };
}

function blankAttempt({ epoch, workerId, instance, instanceId }: PageOptions): Attempt {
  return {
    epoch,
    worker: workerId,
    instance,
    instance_id: instanceId ?? null,
    stage: "preparing",
    started_at: toMoment(nowMs()),
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
