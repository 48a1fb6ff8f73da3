import { assetIdsOf, type JobEvent, type JobFacts } from "@comfyq/contract";
import { nowMs } from "./clock.ts";
import { type JobEnvelope, type JobSubmission, type RecordHead, toBullPriority } from "./envelopes.ts";
import { orUnavailable, QueueError } from "./errors.ts";
import { guessEndSeconds } from "./guessEnd.ts";
import { GREW } from "./jobEvents.ts";
import { submittedNotice } from "./promptNotices.ts";
import { toFacts } from "./readJob.ts";
import { headOf, requestOf } from "./record.ts";
import { refused } from "./refusal.ts";
import type { QueueRoom } from "./room.ts";
import { queuedNoticeOf, settlementOf } from "./settlementPapers.ts";
import { shapeOf } from "./shapeOf.ts";
import { type SubmissionPapers, type Written, writeSubmission } from "./writeSubmission.ts";

export interface Submitted {
  /** True when this id was submitted before with the same body; nothing new was queued. */
  readonly replayed: boolean;
  /** The job as it was in the moment it was queued; undefined when it had been queued before. */
  readonly facts: JobFacts | undefined;
}

/**
 * Makes a job durable and queued, in one atomic step. Safe to repeat with the same id: it then changes nothing.
 * The 2xx is given only after Redis has answered.
 * @throws QueueError `unavailable` | `full` | `limited` | `key_reuse` | `missing_asset`
 */
export async function submitJob(room: QueueRoom, submission: JobSubmission): Promise<Submitted> {
  const head = headOf(submission);
  const papers = papersOf(room, submission, head);
  const written = await orUnavailable("a job was queued", writeSubmission(room, papers));
  switch (written.kind) {
    case "refused":
      throw refused(written.refusal, papers.pool);
    case "missing":
      throw new QueueError(
        "missing_asset",
        `There is no asset ${written.assetId} any more; upload it again with POST /v1/assets`,
      );
    case "reused":
      throw new QueueError("key_reuse", "This Idempotency-Key was used with another body; use a new key for a new job");
    case "known":
      return { replayed: true, facts: undefined };
    case "new":
    case "completed":
      return { replayed: written.kind === "completed", facts: factsOf(room, submission, { head, written }) };
  }
}

interface Fresh {
  readonly head: RecordHead;
  readonly written: Extract<Written, { kind: "new" | "completed" }>;
}

/** What `readJob` would say of it. */
function factsOf(room: QueueRoom, { id, tenant, job, bodySha256 }: JobSubmission, { head, written }: Fresh): JobFacts {
  const { createdAtMs, position } = written;
  const asked = { cancelRequestedAtMs: undefined, expiredAtMs: undefined, learnedSubject: undefined, shape: undefined };
  const facts = toFacts(id, {
    record: { tenant, pool: job.pool, createdAtMs, bodySha256, head, ...asked },
    journal: { attempts: [], progress: undefined },
    bull: undefined,
    retentionMs: room.retentionMs,
  });
  return position === undefined
    ? facts
    : { ...facts, queue_position: position, eta_s: guessEndSeconds(position, written.pace) };
}

const QUEUED: JobEvent = { event: "status", data: { status: "queued", stage: null, attempt: 0, error: null } };
const [FIRST_EVENT, NOTICE] = [JSON.stringify(QUEUED), JSON.stringify(GREW)];

function papersOf(room: QueueRoom, submission: JobSubmission, head: RecordHead): SubmissionPapers {
  const { id, tenant, job, bodySha256, sealedSecrets } = submission;
  const batch = submission.origin?.batch;
  const envelope: JobEnvelope = { v: 1, tenant, ...(batch && { batch }) };
  const timestampMs = nowMs();
  const delayMs = job.run_at === undefined ? 0 : Math.max(0, Date.parse(job.run_at) - timestampMs);
  const priority = toBullPriority(job.priority);
  const opts = bullOptions({ id, priority, delayMs });
  return {
    jobId: id,
    tenant,
    pool: job.pool,
    tags: job.tags,
    expiresInMs: job.expires_in_s === undefined ? undefined : job.expires_in_s * 1_000,
    bodySha256,
    canonicalSha256: submission.canonicalSha256,
    shape: shapeOf(job.workflow),
    head: JSON.stringify(head),
    request: submission.original ?? JSON.stringify(requestOf(submission)),
    sealedSecrets,
    assets: assetIdsOf(job),
    firstEvent: FIRST_EVENT,
    notice: NOTICE,
    batch,
    promptNotice: head.prompt && JSON.stringify(submittedNotice(id, head.prompt)),
    bull: { data: JSON.stringify(envelope), opts, timestampMs, delayMs, priority },
    settlement: { ...settlementOf(room, { id, tenant }), isDue: mustSettle(submission) },
    queued: { ...queuedNoticeOf({ id, tenant }), isDue: job.webhook?.events.includes("job.queued") ?? false },
  };
}

/** Must anybody hear of its end, beside the tenant's endpoints? */
function mustSettle({ job, origin }: JobSubmission): boolean {
  return job.webhook !== undefined || origin?.batch !== undefined || origin?.schedule !== undefined;
}

interface BullWish {
  readonly id: string;
  readonly priority: number;
  readonly delayMs: number;
}

/** Options as BullMQ writes them. */
function bullOptions({ id, priority, delayMs }: BullWish): string {
  return JSON.stringify({
    jobId: id,
    priority,
    delay: delayMs,
    attempts: 1, // decideOutcome decides about another try, not BullMQ
    stackTraceLimit: 0,
    removeOnComplete: false, // retention is swept (sweeping.ts), with the files
    removeOnFail: false,
  });
}
