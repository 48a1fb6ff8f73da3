import {
  COMFYQ_NAMESPACE,
  isTerminal,
  JOB_STATUSES,
  type Job,
  type JobFacts,
  presentJob,
  terminalEvent,
  toMoment,
  uuidV5,
  type WebhookEvent,
} from "@comfyq/contract";
import { forgetIdle, leaveBusy, type QueueRoom, readJob, type Settled, type Settlement, tell } from "@comfyq/queue";
import { failPoint, isBroken, newId } from "@comfyq/runtime";

/**
 * Turns something that happened to a job into deliveries, for everybody who asked to be told. Safe to repeat: the event's
 * id is made from the job and what happened, and a delivery of it is queued once, with the bytes of the first time.
 */
export async function announce(room: QueueRoom, happened: Happening, publicUrl: string): Promise<void> {
  const { settlement, settled } = happened;
  const { tenant, jobId } = settled;
  if (settled.isHeard(TYPES[settlement.what])) await announceJob(room, happened, publicUrl);
  if (settlement.what === "ended" && settlement.busy !== undefined)
    await announceIdle(room, { tenant, jobId, pool: settlement.busy });
}

interface Happening {
  readonly settlement: Settlement;
  readonly settled: Settled;
}

/** What something that happened may be told as: a job that nobody wants to hear of is not read. */
const TYPES: Readonly<Record<Settlement["what"], readonly WebhookEvent["type"][]>> = {
  queued: ["job.queued"],
  started: ["job.started"],
  progress: ["job.progress"],
  output: ["job.output"],
  ended: JOB_STATUSES.filter(isTerminal).map(terminalEvent),
};

async function announceJob(room: QueueRoom, { settlement, settled }: Happening, publicUrl: string): Promise<void> {
  const { tenant, jobId, webhook } = settled;
  const facts = await readJob(room, tenant, jobId);
  const event = facts && toEvent(settlement, facts, await stableView(facts, publicUrl));
  if (!event) return;
  const moment = { event: event.id, type: event.type, job: jobId };
  const told = await tell(room, event, { tenant, webhook, onQueued: () => failPoint("told_one", moment) });
  if (told > 0) await failPoint("announced", moment);
}

interface About {
  readonly tenant: string;
  readonly jobId: string;
}

/** The last of a tenant's jobs in a pool says that there are none left: once for each time that there were some. */
async function announceIdle(room: QueueRoom, job: About & { readonly pool: string }): Promise<void> {
  const { tenant, pool } = job;
  const period = await leaveBusy(room, job);
  if (!period) return;
  await failPoint("became_idle", { job: job.jobId });
  const id = uuidV5(`${tenant}:${pool}:queue.idle:${period.number}`, COMFYQ_NAMESPACE);
  const named = { v: 1, id, timestamp: toMoment(period.endedAtMs), type: "queue.idle" } as const;
  await tell(room, { ...named, data: { pool } }, { tenant, onQueued: () => failPoint("told_one", { event: id }) });
  await forgetIdle(room, job);
}

/** The job with addresses of the API instead of signed links: those would be stale, and a secret, by the next try. */
function stableView(facts: JobFacts, publicUrl: string): Promise<Job> {
  return presentJob(facts, publicUrl, async ({ name }) => ({
    url: `${publicUrl}/v1/jobs/${facts.id}/outputs/${encodeURIComponent(name)}`,
    expiresAtMs: null,
  }));
}

/**
 * @returns undefined for progress of a job that is no longer there: whoever was told of its end is not told that it goes on
 * @throws Error when the job has not ended: the settlement came too early, and is tried again
 */
function toEvent(settlement: Settlement, facts: JobFacts, job: Job): WebhookEvent | undefined {
  switch (settlement.what) {
    case "queued":
      return eventOf({ job, type: "job.queued", at: job.created_at });
    case "started":
      return eventOf({ job, type: "job.started", at: job.started_at ?? job.created_at });
    case "progress": {
      const { epoch, sequence, atMs } = settlement;
      if (isTerminal(facts.status) || facts.epoch !== epoch || !facts.progress) return undefined;
      return eventOf({ job, type: "job.progress", at: toMoment(atMs), which: `${epoch}:${sequence}` });
    }
    case "output": {
      const { epoch, output, atMs } = settlement;
      const id = uuidV5(`${job.id}:job.output:${epoch}:${output.name}`, COMFYQ_NAMESPACE);
      return { v: 1, id, type: "job.output", timestamp: toMoment(atMs), data: { job, output } };
    }
    case "ended":
      if (!isTerminal(facts.status))
        throw new Error(`job ${job.id} is settled but ${facts.status}; telling is tried again`);
      return eventOf({ job, type: terminalEvent(facts.status), at: job.completed_at ?? job.created_at });
  }
}

interface Happened {
  readonly job: Job;
  readonly type: Exclude<WebhookEvent["type"], "job.output"> & `job.${string}`;
  /** When. */
  readonly at: string;
  /** Tells it from others of its type; left out where a job has one of it. */
  readonly which?: string;
}

function eventOf({ job, type, at, which }: Happened): WebhookEvent {
  const name = [job.id, type, ...(which === undefined ? [] : [which])].join(":");
  const id = isBroken("fresh_event_ids") ? newId() : uuidV5(name, COMFYQ_NAMESPACE);
  return { v: 1, id, type, timestamp: at, data: { job } };
}
