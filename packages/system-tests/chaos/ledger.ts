import { type Accepted, look } from "./customer.ts";
import type { Fleet } from "./fleet.ts";

/** Every job of a round that was answered with 2xx, and whether its customers have seen its end. */
export interface Ledger {
  add(job: Accepted): void;
  jobs(): readonly Accepted[];
  open(): readonly Accepted[];
  /** Reads all open jobs again and again until stopped. */
  follow(signal: AbortSignal): Promise<void>;
  /** Reads every job once more, ended ones too: an end must last. */
  lookAtAll(): Promise<void>;
}

const LOOK_EVERY_MS = 250;

export function openLedger(fleet: Fleet): Ledger {
  const jobs = new Map<string, Accepted>();
  const over = new Set<string>();
  const read = async (job: Accepted) => {
    const seen = await look(fleet, job);
    if (seen?.isOver) over.add(job.id);
  };
  const open = () => [...jobs.values()].filter(({ id }) => !over.has(id));
  return {
    add: (job) => jobs.set(job.id, job),
    jobs: () => [...jobs.values()],
    open,
    follow: async (signal) => {
      while (!signal.aborted) {
        await Promise.all(open().map(read));
        await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
      }
    },
    lookAtAll: async () => void (await Promise.all([...jobs.values()].map(read))),
  };
}
