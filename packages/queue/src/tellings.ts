import type { JobEvent } from "@comfyq/contract";
import type { Settlement } from "./envelopes.ts";
import { within } from "./persist.ts";
import type { QueueRoom } from "./room.ts";
import { noticeOptions } from "./settlementPapers.ts";
import { throttle } from "./throttle.ts";

/** What the holder of a job has to tell of it, for whoever wants to hear it. */
export interface Tellings {
  /** Resolves when it is queued, or nobody wants it. */
  started(): Promise<void>;
  /** Never throws, never waits. */
  progressed(): void;
  /** Never throws, never waits. */
  stored(event: JobEvent): void;
  /** Waits a moment for what is on its way. Nothing is told after. */
  close(): Promise<void>;
}

interface ToldJob {
  readonly tenant: string;
  readonly jobId: string;
  readonly epoch: number;
  /** Types of event that somebody wants. */
  readonly wanted: ReadonlySet<string>;
  readonly isOurs: () => boolean;
  readonly nowMs: () => number;
}

/** Types of event that endpoints of a tenant want. */
export async function wantedTypes({ redis, names }: QueueRoom, tenant: string): Promise<readonly string[]> {
  return redis.smembers(names.wanted(tenant));
}

/**
 * Progress and outputs are told as far as that is possible: they are lost with the process, or a Redis that is away. Each is
 * a small notice; what is sent is read from the job when it is told.
 */
export function tellingsOf(room: QueueRoom, { wanted, isOurs, nowMs, ...job }: ToldJob): Tellings {
  const { tenant, jobId, epoch } = job;
  const named = { v: 1, tenant, jobId } as const;
  let sequence = 0;
  const queue = async (notice: Settlement, name: string, more: object = {}) => {
    await room.settlements.add(notice.what, notice, { ...noticeOptions(jobId, name), ...more });
  };
  // All under one name: while one waits for a dispatcher, the next would say the same.
  const progress = throttle(room.settings.tellProgressEveryMs, async (atMs: number) => {
    if (!isOurs()) return;
    sequence += 1;
    await queue({ ...named, what: "progress", epoch, sequence, atMs }, "progress", { attempts: 3, removeOnFail: true });
  });
  let outputs = 0;
  let sending: Promise<void> = Promise.resolve();
  return {
    started: async () => {
      // Named after the job, so that a second attempt does not tell it twice while the first telling waits.
      if (wanted.has("job.started")) await queue({ ...named, what: "started" }, "started");
    },
    progressed: () => {
      if (wanted.has("job.progress")) progress.push(nowMs());
    },
    stored: (event) => {
      if (event.event !== "output" || !wanted.has("job.output") || !isOurs()) return;
      outputs += 1;
      const name = `output-${epoch}-${outputs}`;
      const notice = { ...named, what: "output", epoch, atMs: nowMs(), output: event.data } as const;
      sending = sending.then(() => queue(notice, name)).catch(() => {});
    },
    close: async () => {
      progress.drop();
      await within(room.settings.commandTimeoutMs, sending).catch(() => {});
    },
  };
}
