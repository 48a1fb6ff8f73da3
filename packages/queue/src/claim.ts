import type { WorkerBeat } from "@comfyq/contract";
import { type Job as BullJob, Worker } from "bullmq";
import { moveAgedFirst } from "./ageing.ts";
import type { CacheLimits } from "./cacheEntries.ts";
import { listenForCancels } from "./cancels.ts";
import { after, monotonicMs, nowMs, sleep } from "./clock.ts";
import { rememberDeclines } from "./declines.ts";
import type { BeforeEnding, Desk, NotTaken } from "./desk.ts";
import { neighboursOf } from "./fleet.ts";
import type { HeldJob } from "./heldJob.ts";
import { followLimits } from "./limits.ts";
import { letOverflow } from "./overflow.ts";
import { peekJobs, type WaitingJob } from "./peekJobs.ts";
import { orAborted, within } from "./persist.ts";
import { feelPulse } from "./pulse.ts";
import { openRoom, type QueueRoom, type RoomOptions } from "./room.ts";
import { moveFirst } from "./scripts.ts";
import { type Standing, standingOf } from "./standing.ts";
import { takeUp } from "./takeUp.ts";

export interface ClaimOptions {
  /** Ids that go before all others, if they wait: jobs whose prompt this worker found at its ComfyUI. */
  readonly first?: readonly string[];
  /** What kind of instance this worker has: results are shared among those that are alike. */
  readonly fingerprint?: string | undefined;
}

export interface Claimer {
  readonly room: QueueRoom;
  /**
   * Waits for the next job of the pool, up to 5 s. Call it only when the GPU slot is free: what is claimed is yours. Never
   * throws: troubles of Redis go to `onTrouble`.
   * @returns undefined when there was none that this worker should begin, or when closing
   */
  claim(options?: ClaimOptions): Promise<HeldJob | undefined>;
  /**
   * The next jobs of the pool, in the order of their claims, to get ready for them. Only looks.
   * @param options.ignore ids whose records need not be read
   * @throws QueueError `unavailable`, as `standing`
   */
  peek(options: {
    readonly count: number;
    readonly ignore: ReadonlySet<string>;
  }): Promise<{ readonly ids: readonly string[]; readonly jobs: readonly WaitingJob[] }>;
  /**
   * Where a job stands whose prompt was found at this worker's ComfyUI.
   * @throws QueueError `unavailable` when Redis does not answer for as long as a lock lasts
   */
  standing(jobId: string): Promise<Standing>;
  /** The other live workers of this pool that take jobs. @throws QueueError `unavailable`, as `standing` */
  neighbours(): Promise<readonly WorkerBeat[]>;
  /** Stops claiming at once, a waiting `claim` included; jobs already held stay held and are renewed. */
  stopClaiming(): Promise<void>;
  close(): Promise<void>;
}

export interface ClaimerOptions extends RoomOptions {
  readonly pool: string;
  readonly workerId: string;
  /** This worker's ComfyUI, as the journal and the heartbeats name it. */
  readonly instance: string;
  /** What tells it from other ComfyUIs of the same address. */
  readonly instanceId?: string;
  /** Can it put models into its ComfyUI's models folder? Else jobs that bring some are left to others. Default true. */
  readonly placesModels?: boolean;
  /** How long a job may wait before it goes, now and then, before jobs of higher priority. Default 600 000. */
  readonly ageingMs?: number | undefined;
  /** Takes only jobs that have waited so long for the other workers of the pool, the oldest first. Default 0: any. */
  readonly overflowMs?: number | undefined;
  /** Redis troubles between claims, for the log; claiming goes on by itself. */
  readonly onTrouble?: (error: Error) => void;
  /** A claimed job was judged, and begun or left to others; so long after it was claimed. For measuring. */
  readonly onJudged?: (durationMs: number) => void;
  /** A job was claimed and left to others, or ended before it began; for the log. */
  readonly onNotTaken?: (notTaken: NotTaken) => void;
  /** Stops what a job that is about to be ended unbegun (canceled, poison) left running. Takes no longer than it must. */
  readonly beforeEnding?: BeforeEnding;
  /** Without it no result of this worker is kept for others, and no job is left to another's. */
  readonly cacheLimits?: CacheLimits | undefined;
  /** A job that wanted a stored result was rendered here, and so many others are given what it made; for counting. */
  readonly onRendered?: (shared: number) => void;
}

/**
 * Opens a pool for one worker. BullMQ's own loop is not used: it would fetch the next job only after this one is settled,
 * and the GPU would wait for the upload. Claiming by hand was measured with 6.7.0 (design/architecture.md §5).
 * @throws QueueError `unavailable` when no Redis answers within 10 s
 */
export async function openClaimer(options: ClaimerOptions): Promise<Claimer> {
  const { pool, workerId } = options;
  const room = await openRoom(options, "worker");
  await room.redis.sadd(room.names.pools, pool);
  const worker = await openWorker(room, options);
  const closing = new AbortController();
  const desk = await openDesk(room, options, closing.signal);
  const stopping = new AbortController();
  const trouble = async (cause: unknown) => {
    if (stopping.signal.aborted) return;
    options.onTrouble?.(cause instanceof Error ? cause : new Error(String(cause)));
    await sleep(room.settings.reconnectCapMs, stopping.signal);
  };
  let serial = 0;
  let claimed = 0;
  const { agedEveryClaims } = room.settings;
  const ageingMs = options.ageingMs ?? room.settings.ageingMs;
  const overflow = { room, pool, overflowMs: desk.overflowMs, signal: stopping.signal };
  const nextToken = () => {
    serial += 1;
    return `${workerId}:${nowMs()}:${serial}`;
  };
  return {
    room,
    claim: async ({ first = [], fingerprint } = {}) => {
      const token = nextToken();
      try {
        // Not waited for: the claim follows it on the same connection.
        if (claimed % agedEveryClaims === agedEveryClaims - 1) void moveAgedFirst(room, pool, ageingMs).catch(() => {}); // the claim meets the same trouble
        if (first.length > 0) await within(room.settings.lockMs, moveFirst(room.redis, room.names, pool, first));
        else if (!(await hasOverflow(overflow))) return undefined;
        // A Redis that is away would keep it waiting even after the worker was closed.
        const bullJob = await orAborted<BullJob | undefined>(
          stopping.signal,
          worker.getNextJob(token, { block: desk.overflowMs === 0 }),
        );
        if (bullJob) claimed += 1;
        if (bullJob?.id === undefined) return undefined;
        const claimedAtMs = monotonicMs();
        const held = await takeUp({ ...desk, fingerprint }, bullJob, token);
        options.onJudged?.(monotonicMs() - claimedAtMs);
        return held;
      } catch (error) {
        await trouble(error);
        return undefined;
      }
    },
    peek: (options) => within(room.settings.lockMs, peekJobs(room, pool, options)),
    standing: (jobId) => within(room.settings.lockMs, standingOf(room, pool, jobId)),
    neighbours: () => within(room.settings.lockMs, neighboursOf(room, pool, workerId)),
    stopClaiming: async () => {
      // A claim that was answered just now is still handed out, so that it can be given back.
      after(room.settings.commandTimeoutMs, () => stopping.abort());
      await worker.close(true);
    },
    close: async () => {
      stopping.abort();
      await worker.close(true);
      await within(room.settings.commandTimeoutMs, Promise.all(desk.lastWords)).catch(() => {}); // nobody to hear them
      closing.abort();
      desk.cancels.close();
      await room.close();
    },
  };
}

interface Overflow {
  readonly room: QueueRoom;
  readonly pool: string;
  readonly overflowMs: number;
  readonly signal: AbortSignal;
}

/** May this worker claim now? If not, waits a while: a job that comes meanwhile is the others'. */
async function hasOverflow({ room, pool, overflowMs, signal }: Overflow): Promise<boolean> {
  if (overflowMs === 0) return true;
  const leftMs = await within(room.settings.lockMs, letOverflow(room, pool, overflowMs));
  if (leftMs === 0) return true;
  await sleep(Math.min(leftMs ?? room.settings.overflowLookMs, room.settings.overflowLookMs), signal);
  return false;
}

async function openWorker(room: QueueRoom, options: ClaimerOptions): Promise<Worker> {
  const { settings, names } = room;
  const worker = new Worker(names.jobsQueue(options.pool), null, {
    connection: room.redis,
    prefix: names.prefix,
    autorun: false,
    lockDuration: settings.lockMs,
    stalledInterval: settings.stalledScanMs,
    maxStalledCount: settings.maxStalledCount,
    drainDelay: settings.drainDelaySeconds,
    name: options.workerId,
  });
  worker.on("error", (error) => options.onTrouble?.(error));
  await worker.startStalledCheckTimer();
  return worker;
}

async function openDesk(room: QueueRoom, options: ClaimerOptions, closing: AbortSignal): Promise<Desk> {
  const { firstDeclineMs, declineMs, elsewherePatienceMs } = room.settings;
  const {
    pool,
    workerId,
    instance,
    instanceId,
    cacheLimits,
    onRendered = () => {},
    onNotTaken = () => {},
    beforeEnding = async () => {},
  } = options;
  return {
    room,
    pool,
    workerId,
    instance,
    instanceId,
    placesModels: options.placesModels ?? true,
    overflowMs: options.overflowMs ?? 0,
    cancels: await listenForCancels(room, options.redisUrl),
    declines: rememberDeclines({
      firstDeclineMs,
      declineMs,
      forgetAfterMs: elsewherePatienceMs,
      nowMs: monotonicMs,
    }),
    pulse: feelPulse(room, closing),
    closing,
    lastWords: new Set(),
    onNotTaken,
    beforeEnding,
    cacheLimits,
    onRendered,
    limits: await followLimits(room, closing),
    fingerprint: undefined,
  };
}
