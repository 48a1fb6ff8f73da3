import type { Claimer } from "@comfyq/queue";
import { carryOut } from "./carryOut.ts";
import { createGpuSlot, type GpuSlot } from "./gpuSlot.ts";
import type { Activity } from "./heartbeat.ts";
import type { Instance } from "./instance.ts";
import type { Tools } from "./tools.ts";

export interface LoopOptions {
  readonly claimer: Claimer;
  readonly instance: Instance;
  readonly tools: Tools;
  readonly activity: Activity;
  /** No further claims once this aborts. */
  readonly stopping: AbortSignal;
  /** Running jobs are given back once this aborts. */
  readonly draining: AbortSignal;
}

/**
 * Claims, renders, stores; one render at a time. A job is claimed only when the slot is free and the instance well, so an
 * idle GPU anywhere takes the next job before a busy one does. Returns when stopping and every held job is let go.
 */
export async function workLoop(options: LoopOptions): Promise<void> {
  const { claimer, stopping } = options;
  const slot = createGpuSlot();
  const held = new Set<Promise<void>>();
  while (await mayClaim(options, slot, held)) {
    const job = await claimer.claim();
    if (!job || stopping.aborted) {
      await job?.end({ kind: "give_back", reason: "its worker is stopping" });
      slot.release();
      continue;
    }
    options.activity.renderingJobId = job.id;
    const onGpuFree = () => {
      options.activity.renderingJobId = null;
      slot.release();
    };
    const work = carryOut(job, options.tools, { ...options, onGpuFree }).finally(() => {
      held.delete(work);
      options.activity.holding = held.size;
    });
    held.add(work);
    options.activity.holding = held.size;
  }
  await Promise.all(held);
}

/** Waits until one more job can be taken. @returns false when stopping */
async function mayClaim(options: LoopOptions, slot: GpuSlot, held: ReadonlySet<Promise<void>>): Promise<boolean> {
  const { instance, tools, stopping } = options;
  try {
    await slot.take(stopping);
    // Too many rendered jobs waiting for storage: the GPU idles honestly, rather than disk and memory filling up.
    while (held.size >= tools.config.COMFYQ_STORING_MAX) await Promise.race(held);
    await instance.untilWell(stopping);
    return true;
  } catch (error) {
    if (stopping.aborted) return false;
    throw error;
  }
}
