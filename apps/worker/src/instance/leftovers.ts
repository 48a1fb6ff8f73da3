import type { ComfyUi, QueuedPrompt } from "@comfyq/comfyui";
import type { WorkerBeat } from "@comfyq/contract";
import type { Standing } from "@comfyq/queue";
import { noteHistory } from "@comfyq/runtime";
import type { Leftovers } from "./instanceHealth.ts";
import { type JobMark, markOf } from "./mark.ts";

/** How long a leftover is told to stop, before it is looked at again. */
const STOP_MS = 2_000;

/** What sorting needs to know and to ask. */
export interface LeftoverOptions {
  readonly comfyui: ComfyUi;
  readonly instance: string;
  /** Does this worker hold the job? Then its prompt is no leftover. */
  readonly isHeld: (jobId: string) => boolean;
  /** While a job is being claimed it may be the one whose prompt is found: then one only looks. */
  readonly isClaiming: () => boolean;
  /** Prompts that would not stop when they had to: they are never gone on from. */
  readonly condemned: ReadonlySet<string>;
  readonly standing: (jobId: string) => Promise<Standing>;
  readonly neighbours: () => Promise<readonly WorkerBeat[]>;
  readonly startedAt: string;
  readonly signal: AbortSignal;
}

/**
 * Looks through the instance's queue for prompts of ours that this worker does not hold: those of jobs that wait are to be
 * rejoined, those of jobs that go on elsewhere or have ended are stopped, and for the others one waits.
 */
export async function sortLeftovers(options: LeftoverOptions): Promise<Leftovers> {
  const { running, pending } = await options.comfyui.queue({ signal: options.signal });
  const found = [...running, ...pending].flatMap((prompt) => {
    const mark = markOf(prompt.extraData);
    return mark === undefined || (mark !== "canary" && options.isHeld(mark.job_id)) ? [] : [{ prompt, mark }];
  });
  if (found.length === 0) return { kind: "none" };
  const sorted = await Promise.all(found.map(({ prompt, mark }) => sortOne(prompt, mark, options)));
  const obstacle = sorted.find((one) => "reason" in one);
  if (obstacle) return { kind: "in_the_way", ...obstacle };
  const jobIds = sorted.flatMap((one) => ("rejoin" in one ? [one.rejoin] : []));
  return jobIds.length > 0 ? { kind: "rejoin", jobIds } : { kind: "none" };
}

type Sorted =
  | { readonly rejoin: string }
  | { readonly reason: string; readonly sharedWith?: string }
  | { readonly gone: true };

async function sortOne(prompt: QueuedPrompt, mark: JobMark | "canary", options: LeftoverOptions): Promise<Sorted> {
  if (mark === "canary" || options.condemned.has(prompt.promptId)) return stop(prompt, mark, options);
  switch (fateOf(await options.standing(mark.job_id), mark.epoch)) {
    case "rejoin":
      return { rejoin: mark.job_id };
    case "stop":
      return stop(prompt, mark, options);
    case "wait":
      return whoseIsIt(mark, options);
  }
}

/** Pure: what is to be done about a prompt of this epoch, whose job stands so. */
export function fateOf(standing: Standing, epoch: number): "rejoin" | "stop" | "wait" {
  if (standing.kind === "waiting") return "rejoin";
  // The lock of the worker that began it has not run out: it lives, or it died less than a lock's length ago.
  return standing.kind === "held" && standing.epoch <= epoch ? "wait" : "stop";
}

/** A lost worker's lock runs out by itself; a living worker under another address does not, and the older one stays. */
async function whoseIsIt({ job_id }: JobMark, { neighbours, startedAt }: LeftoverOptions): Promise<Sorted> {
  const other = (await neighbours()).find((worker) => worker.job_id === job_id);
  if (!other)
    return { reason: `The prompt of job ${job_id} runs there; waiting for the lock of its worker, which seems lost` };
  if (other.started_at > startedAt) return { gone: true }; // it will see ours, and refuse
  return { sharedWith: other.id, reason: sharedReason(other) };
}

/** What a worker says that shares its ComfyUI with an older one. */
export function sharedReason({ id, instance }: Pick<WorkerBeat, "id" | "instance">): string {
  return `Worker ${id} drives this ComfyUI too, as ${instance}; stop one of the two`;
}

async function stop(
  { promptId }: QueuedPrompt,
  mark: JobMark | "canary",
  { comfyui, instance, isHeld, isClaiming, signal }: LeftoverOptions,
): Promise<Sorted> {
  if (isClaiming() || (mark !== "canary" && isHeld(mark.job_id)))
    return { reason: "A prompt was found there that may be the next one of this worker" };
  const { stopped, stopMs, stuckNode } = await comfyui.cancel(promptId, { deadlineMs: STOP_MS, signal });
  if (!stopped) {
    const node = stuckNode ? `node ${stuckNode.node_id} (${stuckNode.class_type ?? "unknown class"})` : "a node";
    return { reason: `A prompt that nobody wants still runs there, because ${node} ignores interrupts; restart it` };
  }
  const job = mark === "canary" ? {} : { job: mark.job_id, epoch: mark.epoch };
  noteHistory("stopped", { ...job, prompt: promptId, instance, stop_ms: Math.round(stopMs) });
  return { gone: true };
}
