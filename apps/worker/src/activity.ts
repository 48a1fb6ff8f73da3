import { type Backlog, createBacklog } from "./backlog.ts";
import type { WorkerConfig } from "./config.ts";
import { createGpuClock, type GpuClock } from "./gpuClock.ts";

/** What this worker is doing, as its loop sees it. */
export interface Activity {
  /** Moment this process began. */
  readonly startedAt: string;
  /** Jobs held: the one that renders and those being stored. */
  readonly held: Set<string>;
  renderingJobId: string | null;
  /** A job is being asked for: it may be ours already, and nobody here know yet. */
  isClaiming: boolean;
  draining: boolean;
  readonly gpu: GpuClock;
  readonly backlog: Backlog;
  readonly cache: CacheTally;
  /** Measures attempts; nothing does before `measureAttempts`. */
  meter: Meter;
}

/** What is measured of each attempt. */
interface Meter {
  /** A claimed job was judged, after so many ms. */
  judged(durationMs: number): void;
  declined(why: string): void;
  ended(attempt: EndedAttempt): void;
}

export interface EndedAttempt {
  /** `succeeded`, `failed`, `retry`, `give_back`, `shared`, or `dropped` when the job was another's by then. */
  readonly outcome: string;
  /** Of what went wrong; "" when nothing did. */
  readonly code: string;
  /** How long each stage took, in ms; those that were not reached are left out. */
  readonly stages: Readonly<Record<string, number>>;
}

/** Jobs that wanted a stored result, counted on. */
interface CacheTally {
  /** There was none: they were rendered. */
  misses: number;
  /** They came while an identical one rendered, and are given its result. */
  shared: number;
}

/** A worker that has just begun. */
export function newActivity(startedAt: string, config: WorkerConfig): Activity {
  const { COMFYQ_STORING_MAX: maxJobs, COMFYQ_STORING_MAX_BYTES: maxBytes } = config;
  return {
    startedAt,
    held: new Set(),
    renderingJobId: null,
    isClaiming: false,
    draining: false,
    gpu: createGpuClock(),
    backlog: createBacklog({ maxJobs, maxBytes }),
    cache: { misses: 0, shared: 0 },
    meter: { judged: () => {}, declined: () => {}, ended: () => {} },
  };
}
