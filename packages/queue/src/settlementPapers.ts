import type { JobsOptions } from "bullmq";
import type { Settlement } from "./envelopes.ts";
import type { QueueRoom } from "./room.ts";
import type { BullPaper } from "./writeSubmission.ts";

interface Told {
  readonly id: string;
  readonly tenant: string;
}

const BACKOFF = { type: "fixed", delay: 5_000 } as const;
/** Whoever must be told is told, however long the dispatchers are away. */
const AGAIN = 1_000_000;

/** How a notice about a job is kept until it was told; a second of the same name is none while the first waits. */
export function noticeOptions(jobId: string, name: string): JobsOptions {
  return { jobId: `${jobId}-${name}`, removeOnComplete: true, attempts: AGAIN, backoff: BACKOFF, stackTraceLimit: 1 };
}

/** Word of a job that was queued, as BullMQ writes a job. */
export function queuedNoticeOf({ id, tenant }: Told): BullPaper {
  const data: Settlement = { v: 1, tenant, jobId: id, what: "queued" };
  return { data: JSON.stringify(data), opts: JSON.stringify(noticeOptions(id, "queued")) };
}

/** What the parent of a job is, and what the job says of it. */
export interface SettlementPaper extends BullPaper {
  readonly parent: string;
  /** What the job's own options say beside; `idof` is BullMQ's word for ignoreDependencyOnFailure. */
  readonly childOpts: string;
}

/** The outbox: the telling is queued in the same step as the job, as its flow parent, and freed once when the job ends. */
export function settlementOf({ names }: QueueRoom, { id, tenant }: Told): SettlementPaper {
  const data: Settlement = { v: 1, tenant, jobId: id, what: "ended" };
  const queue = `${names.prefix}:${names.settlementsQueue}`;
  return {
    data: JSON.stringify(data),
    opts: JSON.stringify({ jobId: id, attempts: AGAIN, backoff: BACKOFF, stackTraceLimit: 1 }),
    parent: JSON.stringify({ id, queueKey: queue, idof: true }),
    childOpts: JSON.stringify({ idof: true, parent: { id, queue } }),
  };
}
