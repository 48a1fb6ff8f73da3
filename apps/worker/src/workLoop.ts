import type { Claimer, HeldJob } from "@comfyq/queue";
import { sleep, withDeadline } from "@comfyq/runtime";
import type { Activity } from "./activity.ts";
import { carryOut } from "./carryOut.ts";
import { createGpuSlot, type GpuSlot } from "./gpuSlot.ts";
import type { StageAhead } from "./inputs/stageAhead.ts";
import { orAborted } from "./orAborted.ts";
import type { Tools } from "./tools.ts";

export interface LoopOptions {
  readonly claimer: Claimer;
  readonly tools: Tools;
  readonly activity: Activity;
  readonly ahead: StageAhead;
  /** No further claims once this aborts. */
  readonly stopping: AbortSignal;
  /** Running jobs are given back once this aborts. */
  readonly draining: AbortSignal;
  /** What insists on something stops insisting once this aborts. */
  readonly leaving: AbortSignal;
}

/** Longest that the storing of one job waits for the beginning of the next. */
const NEXT_BEGINS_MS = 50;
/** After a claim that failed: Redis refuses, say. */
const REST_MS = 1_000;

/**
 * Claims, renders, stores; one render at a time. A job is claimed only when the slot is free and the instance well, so an
 * idle GPU anywhere takes the next job before a busy one does. Returns when stopping and every held job is let go.
 */
export async function workLoop(options: LoopOptions): Promise<void> {
  const { activity } = options;
  const slot = createGpuSlot();
  const held = new Set<Promise<void>>();
  while (await mayClaim(options, slot)) {
    const job = await claim(options);
    if (!job) {
      slot.release();
      continue;
    }
    activity.renderingJobId = job.id;
    activity.gpu.enter("preparing");
    const work = carryOn(job, options, slot).finally(() => {
      held.delete(work);
    });
    held.add(work);
  }
  await Promise.all(held);
}

/** Carries a job out. The slot passes on when it needs the GPU no more. Never rejects. */
async function carryOn(job: HeldJob, options: LoopOptions, slot: GpuSlot): Promise<void> {
  const { activity, tools, ahead } = options;
  const { gpu, backlog, held } = activity;
  const freeGpu = () => {
    activity.renderingJobId = null;
    slot.release();
  };
  const { isNaive } = tools.config;
  await carryOut(job, tools, {
    ...options,
    onGpuBusy: () => {
      gpu.enter("rendering");
      ahead.lookNow();
    },
    onGpuFree: () => {
      backlog.add(job.id);
      if (!isNaive) freeGpu();
    },
    onEnded: (attempt) => activity.meter.ended(attempt),
    onWeighed: (bytes) => backlog.weigh(job.id, bytes),
    untilNextBegins: () => untilNextBegins(options),
  });
  held.delete(job.id);
  backlog.remove(job.id);
  if (isNaive) freeGpu();
}

/** Storing takes the processor, too; what the GPU waits for goes first. */
async function untilNextBegins({ activity, ahead, draining }: LoopOptions): Promise<void> {
  if (ahead.expectsNone() || activity.backlog.isFull) return;
  const begun = withDeadline(draining, NEXT_BEGINS_MS);
  await orAborted(activity.gpu.untilRendering(), begun).catch(() => {}); // then it is stored beside it
}

/** Waits until one more job can be taken. @returns false when stopping */
async function mayClaim(options: LoopOptions, slot: GpuSlot): Promise<boolean> {
  const { tools, activity, stopping } = options;
  try {
    await slot.take(stopping);
    // Too much that waits for storage: the GPU idles honestly, rather than disk and memory filling up.
    if (activity.backlog.isFull) activity.gpu.enter("storage_backlog");
    await activity.backlog.untilRoom(stopping);
    if (tools.instance.standing().kind !== "well") activity.gpu.enter("not_well");
    await tools.instance.untilWell(stopping);
    activity.gpu.enter("no_job");
    return true;
  } catch (error) {
    if (stopping.aborted) return false;
    throw error;
  }
}

/** Claims one job that may be begun here and now. @returns undefined when there is none */
async function claim({ claimer, tools, activity, stopping }: LoopOptions): Promise<HeldJob | undefined> {
  const { instance, log } = tools;
  const first = instance.toRejoin();
  activity.isClaiming = true;
  try {
    const job = await claimer.claim({ first, fingerprint: instance.facts()?.fingerprint });
    if (!job) return undefined;
    const reason = whyNot(job, first, stopping.aborted);
    if (reason === undefined && instance.standing().kind === "well") {
      activity.held.add(job.id); // before anybody looks: its prompt is no leftover any more
      return job;
    }
    await job.end({ kind: "give_back", reason: reason ?? "this worker's ComfyUI is not well" });
    return undefined;
  } catch (cause) {
    log.warn({ cause }, "no job could be claimed");
    await sleep(REST_MS, stopping).catch(() => {}); // mayClaim sees the stop
    return undefined;
  } finally {
    activity.isClaiming = false;
    if (first.length > 0) instance.lookAgain(); // rejoined now, or another worker's, or ended
  }
}

function whyNot({ id }: HeldJob, first: readonly string[], isStopping: boolean): string | undefined {
  if (isStopping) return "its worker is stopping";
  return first.length === 0 || first.includes(id) ? undefined : "the prompt of another job still runs there";
}
