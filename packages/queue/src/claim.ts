import { jobFailure, type WorkerBeat } from "@comfyq/contract";
import { Worker } from "bullmq";
import { listenForCancels } from "./cancels.ts";
import { nowMs, sleep } from "./clock.ts";
import { neighboursOf } from "./fleet.ts";
import type { HeldJob } from "./heldJob.ts";
import { holdJob } from "./hold.ts";
import { openRoom, type QueueRoom, type RoomOptions } from "./room.ts";
import { moveFirst } from "./scripts.ts";
import { SETTINGS } from "./settings.ts";
import { type Standing, standingOf } from "./standing.ts";

export interface ClaimOptions {
  /** Ids that go before all others, if they wait: jobs whose prompt this worker found at its ComfyUI. */
  readonly first?: readonly string[];
}

export interface Claimer {
  readonly room: QueueRoom;
  /**
   * Waits for the next job of the pool, up to 5 s. Call it only when the GPU slot is free: what is claimed is yours.
   * @returns undefined when there was none that this worker should begin, or when closing
   */
  claim(options?: ClaimOptions): Promise<HeldJob | undefined>;
  /** Where a job stands whose prompt was found at this worker's ComfyUI. */
  standing(jobId: string): Promise<Standing>;
  /** The other live workers of this pool that take jobs. */
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
  /** Redis troubles between claims, for the log; claiming goes on by itself. */
  readonly onTrouble?: (error: Error) => void;
}

/**
 * Opens a pool for one worker. BullMQ's own loop is not used: it would fetch the next job only after this one is settled,
 * and the GPU would wait for the upload. Claiming by hand was measured with 6.7.0 (design/architecture.md §5).
 * @throws QueueError `unavailable` when no Redis answers within 10 s
 */
export async function openClaimer(options: ClaimerOptions): Promise<Claimer> {
  const room = await openRoom(options, "worker");
  await room.redis.sadd(room.names.pools, options.pool);
  const worker = new Worker(room.names.jobsQueue(options.pool), null, {
    connection: room.redis,
    prefix: room.names.prefix,
    autorun: false,
    lockDuration: room.settings.lockMs,
    stalledInterval: room.settings.stalledScanMs,
    maxStalledCount: room.settings.maxStalledCount,
    drainDelay: room.settings.drainDelaySeconds,
    name: options.workerId,
  });
  worker.on("error", (error) => options.onTrouble?.(error));
  await worker.startStalledCheckTimer();
  const cancels = await listenForCancels(room, options.redisUrl);
  let serial = 0;
  const claim = async ({ first = [] }: ClaimOptions = {}): Promise<HeldJob | undefined> => {
    serial += 1;
    if (first.length > 0) await moveFirst(room.redis, room.names, options.pool, first);
    const token = `${options.workerId}:${nowMs()}:${serial}`;
    const bullJob = await worker.getNextJob(token, { block: true }).catch(async (cause: unknown) => {
      options.onTrouble?.(cause instanceof Error ? cause : new Error(String(cause)));
      await sleep(SETTINGS.reconnectCapMs);
    });
    if (!bullJob?.id) return undefined;
    const held = await holdJob(room, cancels, { bullJob, token, pool: options.pool, workerId: options.workerId });
    return held && (await endAtOnce(held)) ? undefined : held;
  };
  return {
    room,
    claim,
    standing: (jobId) => standingOf(room, options.pool, jobId),
    neighbours: () => neighboursOf(room, options.pool, options.workerId),
    stopClaiming: () => worker.close(true),
    close: async () => {
      await worker.close(true);
      cancels.close();
      await room.close();
    },
  };
}

/** A job that nobody should start any more: canceled or too late while it waited, or deadly. @returns true when ended */
async function endAtOnce(held: HeldJob): Promise<boolean> {
  if (held.signal.aborted) {
    await held.end({ kind: "failed", error: jobFailure("canceled", "Canceled before it started") });
    return true;
  }
  const deaths = held.earlier.filter((attempt) => attempt.end === null).length;
  if (deaths < SETTINGS.poisonDeaths) return false;
  const message = `Its worker died ${deaths} times while running it; look at the attempts, then submit it again`;
  await held.end({ kind: "failed", error: jobFailure("poison", message) });
  return true;
}
