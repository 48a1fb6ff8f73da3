import type { Attempt, JobErrorCode, Place, TerminalStatus } from "@comfyq/contract";
import type { Outcome } from "@comfyq/queue";
import type { Lease } from "@comfyq/queue/testing";
import { type Health, NEW_INSTANCE } from "../../src/instance/instanceHealth.ts";
import type { Parts } from "./parts.ts";
import type { Promises } from "./promises.ts";

/** What becomes of a render. `kills_*`: of its worker or its ComfyUI; `silence`: no end and no sign of life. */
export type Fate = "ok" | "kills_worker" | "kills_comfyui" | "silence" | "endless" | JobErrorCode;

/** The first `times` tries meet this fate, the others end well. */
export interface Nature {
  readonly fate: Fate;
  readonly times: number;
}

/** One BullJob with its record and its journal. */
export interface Job {
  readonly id: string;
  readonly nature: Nature;
  readonly maxAttempts: number;
  readonly expiresAtMs: number | undefined;
  place: "waiting" | "delayed" | "active" | "ended";
  /** The lowest is claimed first. */
  rank: number;
  dueAtMs: number;
  lock: { readonly token: string; untilMs: number } | undefined;
  /** In BullMQ's `stalled` set: active when the last scan passed, not renewed since. */
  isSuspected: boolean;
  started: number;
  /** Tries that met the fate of its nature so far. */
  struck: number;
  readonly journal: Map<number, Attempt>;
  cancelWanted: boolean;
  end: { readonly status: TerminalStatus; readonly code?: JobErrorCode | undefined } | undefined;
}

export interface Prompt {
  readonly id: string;
  readonly jobId: string;
  readonly epoch: number;
  startedAtMs: number | undefined;
  fate: Fate;
}

/** One ComfyUI: everything of it is lost when it restarts. */
export interface Instance {
  readonly name: string;
  /** As the journal names it. Machines that each have one of their own may all call it 127.0.0.1. */
  readonly address: string;
  state: "up" | "down" | "unreachable";
  /** When it comes up again by itself, and when it last did. */
  backAtMs: number | undefined;
  upSinceMs: number;
  /** Answers, and runs nothing. */
  isZombie: boolean;
  /** A broken CUDA context: every render fails until a restart. */
  isSick: boolean;
  /** Which process may drive it, and until when. */
  driver: string | undefined;
  drivenUntilMs: number;
  prompts: Prompt[];
  readonly history: Map<string, Fate>;
  /** Prompts that were stopped from outside while they ran or waited. */
  readonly stopped: Set<string>;
}

/** Where an attempt stands; between two of them a worker can die. */
export const STAGES = [
  "claimed",
  "locked",
  "preparing",
  "journaled",
  "rendering",
  "rendered",
  "stored",
  "sealing",
  "settling",
  "moving",
] as const;
export type Stage = (typeof STAGES)[number];

/** One job lent to a worker: what that process has in memory. */
export interface Held {
  readonly job: Job;
  readonly token: string;
  readonly epoch: number;
  readonly sinceMs: number;
  lookedAtMs: number;
  /** Undefined until the first renewal: BullMQ's answer to a claim does not say when the lock began. */
  lease: Lease | undefined;
  renewAtMs: number;
  actAtMs: number;
  stage: Stage;
  page: Attempt | undefined;
  earlier: readonly Attempt[];
  /** Jobs whose prompts were there when it was claimed: it must be one of them. */
  readonly first: readonly string[];
  promptId: string | undefined;
  /** May ComfyUI still run or queue it? */
  mayRun: boolean;
  /** Did ComfyUI take a prompt of this try, or an earlier one that it goes on from? */
  wasTaken: boolean;
  hasFiles: boolean;
  hearsCancel: boolean;
  stopSinceMs: number | undefined;
  awaySinceMs: number | undefined;
  renderSinceMs: number;
  outcome: Outcome | undefined;
}

export interface Worker {
  readonly name: string;
  readonly instance: Instance;
  state: "runs" | "frozen" | "dead";
  /** `mute`: what it asks is done, but no answer comes back. */
  line: "whole" | "cut" | "mute";
  isDraining: boolean;
  lives: number;
  claims: number;
  held: Held[];
  health: Health;
  actAtMs: number;
  /** After some troubles it leaves its instance alone for a while. */
  restUntilMs: number;
  lookedThroughAtMs: number;
  /** Until when it may be sure that nobody else drives its ComfyUI. */
  drivesUntilMs: number;
  heardAtMs: number;
  told: "takes jobs" | "unready";
  thawedAtMs: number;
  /** When Redis last came back to it after an absence. */
  redisBackAtMs: number;
  /** By job and newest try: when it was declined first. */
  readonly declining: Map<string, number>;
  /** Prompts to be stopped as soon as the instance can be reached. */
  readonly condemned: Set<string>;
  /** Pages of lost attempts that could not be written yet. */
  owed: { readonly job: Job; readonly page: Attempt }[];
  /** A fail point: what happens to it when a held job reaches this stage. */
  failPoint: { readonly stage: Stage; readonly how: "crash" | "freeze"; readonly forMs: number } | undefined;
  /** When it goes on by itself. */
  thawsAtMs: number;
}

export interface World {
  nowMs: number;
  readonly parts: Parts;
  readonly jobs: Job[];
  readonly workers: readonly Worker[];
  readonly instances: readonly Instance[];
  readonly manifests: Map<string, { readonly epoch: number; readonly hasFiles: boolean }>;
  /** Ended jobs whose end nobody was told yet. */
  outbox: Job[];
  readonly canRestart: boolean;
  redisIsUp: boolean;
  storeIsUp: boolean;
  sweeperIsUp: boolean;
  /** The dispatcher dies after its next delivery, before it has noted it. */
  tellerDies: boolean;
  /** Lives again by itself what died: workers and instances, as a supervisor would have it. */
  isSupervised: boolean;
  nextScanAtMs: number;
  nextSweepAtMs: number;
  turn: number;
  frontRank: number;
  backRank: number;
  dice: () => number;
  readonly promises: Promises;
}

export function newJob(id: string, asked: Pick<Job, "nature" | "maxAttempts" | "expiresAtMs" | "rank">): Job {
  return {
    id,
    ...asked,
    place: "waiting",
    dueAtMs: 0,
    lock: undefined,
    isSuspected: false,
    started: 0,
    struck: 0,
    journal: new Map(),
    cancelWanted: false,
    end: undefined,
  };
}

export function newInstance(name: string, address: string): Instance {
  return {
    name,
    address,
    state: "up",
    backAtMs: undefined,
    upSinceMs: Number.NEGATIVE_INFINITY,
    isZombie: false,
    isSick: false,
    driver: undefined,
    drivenUntilMs: 0,
    prompts: [],
    history: new Map(),
    stopped: new Set(),
  };
}

export function newWorker(name: string, instance: Instance): Worker {
  return {
    name,
    instance,
    state: "runs",
    line: "whole",
    isDraining: false,
    lives: 1,
    claims: 0,
    held: [],
    health: NEW_INSTANCE,
    actAtMs: 0,
    restUntilMs: 0,
    lookedThroughAtMs: Number.NEGATIVE_INFINITY,
    drivesUntilMs: 0,
    heardAtMs: 0,
    told: "unready",
    thawedAtMs: Number.NEGATIVE_INFINITY,
    redisBackAtMs: Number.NEGATIVE_INFINITY,
    declining: new Map(),
    condemned: new Set(),
    owed: [],
    failPoint: undefined,
    thawsAtMs: Number.POSITIVE_INFINITY,
  };
}

/** Does a job need its GPU, or may one do so soon? */
export function isRendering({ held }: Worker): boolean {
  return held.some(({ stage, outcome }) => outcome === undefined && !["rendered", "stored", "sealing"].includes(stage));
}

/** Has it claimed a job that is not begun? */
export function isClaiming({ held }: Worker): boolean {
  return held.some(({ page }) => page === undefined);
}

/** How an instance is told from others. */
export function placeOf({ address, name }: Instance): Place {
  return { instance: address, instance_id: name };
}
