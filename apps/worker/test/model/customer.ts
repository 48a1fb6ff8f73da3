import { isTerminal, JOB_STEPS, type JobStatus } from "@comfyq/contract";

/** All that a customer knows of one job: what they asked for, and what they were shown. */
interface Seen {
  status: JobStatus;
  cancelAsked: boolean;
  hasExpiry: boolean;
  webhooks: Map<string, string>;
}

/** The reference: what a customer may see of a job, however the house behind it burns. Knows nothing of workers. */
export class Customer {
  readonly #jobs = new Map<string, Seen>();

  submits(id: string, hasExpiry: boolean): void {
    this.#jobs.set(id, { status: "queued", cancelAsked: false, hasExpiry, webhooks: new Map() });
  }

  asksToCancel(id: string): void {
    const job = this.#jobs.get(id);
    if (job) job.cancelAsked = true;
  }

  /** @returns what is wrong with being shown this now */
  sees(id: string, status: JobStatus): string | undefined {
    const job = this.#jobs.get(id);
    if (!job) return `job ${id} was never submitted`;
    const before = job.status;
    job.status = status;
    if (before === status) return undefined;
    if (!JOB_STEPS[before].includes(status)) return `job ${id} went from ${before} to ${status}`;
    if (status === "canceled" && !job.cancelAsked) return `job ${id} was canceled by nobody`;
    if (status === "expired" && !job.hasExpiry) return `job ${id} expired without a limit`;
    return undefined;
  }

  /** A webhook came in: of one end there is one id, with the same bytes every time. */
  isTold(id: string, event: { readonly id: string; readonly body: string }): string | undefined {
    const job = this.#jobs.get(id);
    job?.webhooks.set(event.id, job.webhooks.get(event.id) ?? event.body);
    if (job?.webhooks.size !== 1) return `the end of job ${id} was told under ${job?.webhooks.size ?? 0} ids`;
    return job.webhooks.get(event.id) === event.body ? undefined : `event ${event.id} has changed`;
  }

  /** @returns what is still owed when everything is quiet */
  isOwed(): string | undefined {
    for (const [id, { status, webhooks }] of this.#jobs) {
      if (!isTerminal(status)) return `job ${id} never ended, it is ${status}`;
      if (webhooks.size === 0) return `nobody was told of the end of job ${id}`;
    }
    return undefined;
  }
}
