import { type Attempt, type JobEvent, jobFailure, type Progress, toMoment } from "@comfyq/contract";
import type { Job as BullJob } from "bullmq";
import type { Cancels } from "./cancels.ts";
import { nowMs } from "./clock.ts";
import type { RecordRequest, Settlement } from "./envelopes.ts";
import { isOurMistake } from "./errors.ts";
import type { DropReason, HeldJob } from "./heldJob.ts";
import { appendEvent, publishPreview } from "./jobEvents.ts";
import { keepLock } from "./keepLock.ts";
import type { Outcome } from "./outcome.ts";
import { type JobRecord, type Journal, progressField, readJournal, readRecord, readRequest } from "./record.ts";
import type { QueueRoom } from "./room.ts";
import { type Lease, settle } from "./settle.ts";
import { throttle } from "./throttle.ts";

interface Claimed {
  readonly bullJob: BullJob;
  readonly token: string;
  readonly pool: string;
  readonly workerId: string;
}

/**
 * Makes a claimed BullJob a job that is held: its lock renewed, its cancel heard, its attempt begun in the journal.
 * @returns undefined when its record is gone or cannot be read: it is then ended as failed, and the worker goes on
 */
export async function holdJob(room: QueueRoom, cancels: Cancels, claimed: Claimed): Promise<HeldJob | undefined> {
  const { bullJob, token, pool } = claimed;
  const id = String(bullJob.id);
  const drop = new AbortController();
  const dropFor = (reason: DropReason) => drop.abort(reason);
  const papers = await readPapers(room, id);
  if ("unreadable" in papers) {
    const error = jobFailure("internal", `This job cannot be started: ${papers.unreadable}; submit it again`);
    await bullJob.moveToFailed(new Error(JSON.stringify(error)), token, false);
    return undefined;
  }
  const { record, request, earlier } = papers;
  const lock = keepLock(room, {
    bullJob,
    token,
    onLost: () => dropFor("lock_lost"),
    onCanceled: () => dropFor("canceled"),
  });
  const unlisten = cancels.listen(id, () => dropFor("canceled"));
  if (record.cancelRequestedAtMs !== undefined) dropFor("canceled");
  const epoch = bullJob.attemptsStarted;
  const lease: Lease = { room, bullJob, token, pool, epoch, lock };
  const journal = beginAttempt(room, { id, epoch, workerId: claimed.workerId });
  if (record.head.webhook?.events.includes("job.started")) await queueStarted(room, record.tenant, id);
  const progress = throttle(room.settings.progressEveryMs, (latest: Progress) =>
    writeProgress(room, { id, epoch, latest }),
  );
  const preview = throttle(room.settings.previewEveryMs, (event: JobEvent) => publishPreview(room, id, event));
  return {
    id,
    tenant: record.tenant,
    pool,
    epoch,
    head: record.head,
    request,
    earlier: earlier.attempts,
    signal: drop.signal,
    isOurs: lock.isOurs,
    journal,
    report: (latest) => progress.push(latest),
    show: (event) =>
      event.event === "preview" ? preview.push(event) : void appendEvent(room, id, event).catch(() => {}),
    end: async (outcome: Outcome) => {
      await progress.flush();
      const ended = await settle(lease, outcome, journal);
      lock.stop();
      unlisten();
      return ended;
    },
  };
}

type Papers =
  | { readonly record: JobRecord; readonly request: RecordRequest; readonly earlier: Journal }
  | { readonly unreadable: string };

/** Everything kept of a job. Written by another version of ours, perhaps: then one job fails, not the worker. */
async function readPapers(room: QueueRoom, id: string): Promise<Papers> {
  try {
    const [record, request, earlier] = await Promise.all([
      readRecord(room.redis, room.names, id),
      readRequest(room.redis, room.names, id),
      readJournal(room.redis, room.names, id),
    ]);
    return record && request ? { record, request, earlier } : { unreadable: "its record is gone" };
  } catch (error) {
    if (isOurMistake(error)) return { unreadable: "its record is not of this version" };
    throw error;
  }
}

/** The attempt's page of the journal. The first write opens it and shows the job as running. */
function beginAttempt(
  room: QueueRoom,
  { id, epoch, workerId }: { readonly id: string; readonly epoch: number; readonly workerId: string },
): HeldJob["journal"] {
  let page: Attempt = {
    epoch,
    worker: workerId,
    instance: "",
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
  let shownStage: Attempt["stage"] | undefined;
  return async (facts) => {
    page = { ...page, ...facts };
    await room.redis.hset(room.names.attempts(id), String(epoch), JSON.stringify(page));
    if (page.stage === shownStage || page.end !== null) return;
    shownStage = page.stage;
    await appendEvent(room, id, {
      event: "status",
      data: { status: "running", stage: page.stage, attempt: epoch, error: null },
    });
  };
}

/** Named after the job, so that a second attempt does not tell it twice while the first telling waits. */
async function queueStarted(room: QueueRoom, tenant: string, jobId: string): Promise<void> {
  const settlement: Settlement = { v: 1, tenant, jobId, what: "started" };
  const opts = {
    jobId: `${jobId}-started`,
    removeOnComplete: true,
    attempts: 10,
    backoff: { type: "fixed", delay: 5_000 },
  };
  await room.settlements.add("started", settlement, opts);
}

async function writeProgress(
  room: QueueRoom,
  { id, epoch, latest }: { readonly id: string; readonly epoch: number; readonly latest: Progress },
): Promise<void> {
  await room.redis.hset(room.names.attempts(id), progressField(epoch), JSON.stringify(latest));
  await appendEvent(room, id, { event: "progress", data: { ...latest, attempt: epoch } });
}
