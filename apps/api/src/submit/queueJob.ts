import type { JobFacts } from "@comfyq/contract";
import type { JobSubmission } from "@comfyq/queue";
import { failPoint } from "@comfyq/runtime";
import { owned } from "../ownJob.ts";
import type { Rooms } from "../rooms.ts";
import { shareResult, subjectOf } from "./shareResult.ts";

/** A job that may be queued. */
export type CheckedJob = Omit<JobSubmission, "tenant">;

/** A job that is durable and queued. */
export interface QueuedJob {
  /** It was there before, from the same body; nothing new was queued. */
  readonly replayed: boolean;
  /** An identical job has its result, or is about to: this one is about to end. */
  readonly isAnswered: boolean;
  readonly facts: JobFacts;
}

/**
 * Queues a job: the one way in, whatever door it came through. Safe to repeat with the same id.
 * @throws QueueError `unavailable` (it may have been queued) | `full` | `key_reuse` | `missing_asset`
 */
export async function queueJob(rooms: Rooms, tenant: string, checked: CheckedJob): Promise<QueuedJob> {
  await failPoint("accepted_not_queued", { job: checked.id });
  const subject = await subjectOf(rooms, tenant, checked.job);
  const { replayed, facts } = await rooms.producer.submit({ ...checked, subject, tenant });
  await failPoint("queued_not_answered", { job: checked.id });
  const isAnswered = !replayed && (await shareResult(rooms, { ...checked, tenant, subject }));
  return { replayed, isAnswered, facts: facts ?? owned(checked.id, await rooms.producer.read(tenant, checked.id)) };
}
