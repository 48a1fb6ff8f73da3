import {
  isTerminal,
  type Job,
  type JobEventType,
  type JobFacts,
  presentJob,
  terminalEvent,
  type WebhookEvent,
} from "@comfyq/contract";
import { type QueueRoom, readJob, readWebhook, type Settlement, tell } from "@comfyq/queue";
import { COMFYQ_NAMESPACE, failPoint, isBroken, newId, uuidV5 } from "@comfyq/runtime";

/**
 * Turns something that happened to a job into a delivery, for everybody who asked to be told. Safe to repeat: the event's
 * id is made from the job and the type, and a delivery of that id is queued once, with the bytes of the first time.
 */
export async function announce(room: QueueRoom, { tenant, jobId, what }: Settlement, publicUrl: string): Promise<void> {
  const facts = await readJob(room, tenant, jobId);
  if (!facts) return; // swept meanwhile
  const webhook = await readWebhook(room, jobId);
  const type = what === "started" ? "job.started" : typeOfEnd(facts);
  const event = toEvent(await stableView(facts, publicUrl), type);
  const moment = { event: event.id, type, job: jobId };
  const told = await tell(room, event, { tenant, webhook, onQueued: () => failPoint("told_one", moment) });
  if (told > 0) await failPoint("announced", moment);
}

/** @throws Error when the job has not ended: the settlement came too early, and is tried again */
function typeOfEnd({ id, status }: JobFacts): SimpleType {
  if (!isTerminal(status)) throw new Error(`job ${id} is settled but ${status}; telling is tried again`);
  return terminalEvent(status);
}

/** The job with addresses of the API instead of signed links: those would be stale, and a secret, by the next try. */
function stableView(facts: JobFacts, publicUrl: string): Promise<Job> {
  return presentJob(facts, publicUrl, async ({ name }) => ({
    url: `${publicUrl}/v1/jobs/${facts.id}/outputs/${encodeURIComponent(name)}`,
    expiresAtMs: null,
  }));
}

/** Types whose payload is the job and nothing else. */
type SimpleType = Exclude<JobEventType, "job.output">;

function toEvent(job: Job, type: SimpleType): WebhookEvent {
  const happenedAt = type === "job.started" ? job.started_at : job.completed_at;
  return {
    v: 1,
    id: isBroken("fresh_event_ids") ? newId() : uuidV5(`${job.id}:${type}`, COMFYQ_NAMESPACE),
    type,
    timestamp: happenedAt ?? job.created_at,
    data: { job },
  };
}
