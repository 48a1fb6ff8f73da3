import { orAborted } from "./orAborted.ts";

/** What is rendered and not stored yet. */
export interface Backlog {
  readonly jobs: number;
  /** Of their results, as far as it is known how large they are. */
  readonly bytes: number;
  /** One more job is rendered. Safe to repeat. */
  add(jobId: string): void;
  /** So large is what it has rendered. Means nothing for a job that is not here (any more). */
  weigh(jobId: string, bytes: number): void;
  /** It is stored, or given up. */
  remove(jobId: string): void;
  readonly isFull: boolean;
  /** Waits until it is not. @throws the signal's reason */
  untilRoom(signal: AbortSignal): Promise<void>;
}

interface BacklogLimits {
  readonly maxJobs: number;
  readonly maxBytes: number;
}

/** Full at so many jobs, or when their results are more than so many bytes; one job alone may be larger. */
export function createBacklog({ maxJobs, maxBytes }: BacklogLimits): Backlog {
  const bytesOf = new Map<string, number>();
  let changed = Promise.withResolvers<void>();
  const total = () => [...bytesOf.values()].reduce((sum, bytes) => sum + bytes, 0);
  const isFull = () => bytesOf.size >= maxJobs || total() > maxBytes;
  return {
    get jobs() {
      return bytesOf.size;
    },
    get bytes() {
      return total();
    },
    get isFull() {
      return isFull();
    },
    add: (jobId) => void bytesOf.set(jobId, bytesOf.get(jobId) ?? 0),
    weigh: (jobId, bytes) => {
      if (bytesOf.has(jobId)) bytesOf.set(jobId, bytes);
    },
    remove: (jobId) => {
      bytesOf.delete(jobId);
      changed.resolve();
      changed = Promise.withResolvers();
    },
    untilRoom: async (signal) => {
      while (isFull()) await orAborted(changed.promise, signal);
    },
  };
}
