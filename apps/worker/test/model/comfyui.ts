import type { JobErrorCode } from "@comfyq/contract";
import type { Fate, Instance, Job, Prompt, World } from "./state.ts";

/** How long a render takes that ends by itself. */
const RENDER_MS = 4_000;
/** A supervisor brings a crashed ComfyUI back. */
const RESTART_MS = 3_000;

type EarlyOrLate = "preparing" | "posting" | "storing";

/** Failures that are not met by a render, and the step that meets them. */
const STEP_OF: ReadonlyMap<Fate, { readonly code: JobErrorCode; readonly step: EarlyOrLate }> = new Map(
  (
    [
      ["input_unavailable", "preparing"],
      ["input_too_large", "preparing"],
      ["input_unreachable", "preparing"],
      ["model_rejected", "preparing"],
      ["models_unavailable", "preparing"],
      ["models_full", "preparing"],
      ["secrets_unreadable", "preparing"],
      ["internal", "preparing"],
      ["worker_unfit", "preparing"],
      ["workflow_rejected", "posting"],
      ["model_missing", "posting"],
      ["node_class_missing", "posting"],
      ["output_missing", "storing"],
      ["no_outputs", "storing"],
      ["output_push_failed", "storing"],
    ] as const
  ).map(([code, step]) => [code, { code, step }]),
);

/** Does a job's own nature strike at this step? Each strike is counted. */
export function strikes(job: Job, step: EarlyOrLate): JobErrorCode | undefined {
  const met = STEP_OF.get(job.nature.fate);
  if (met?.step !== step || job.struck >= job.nature.times) return undefined;
  job.struck += 1;
  return met.code;
}

function fateOfRender(job: Job): Fate {
  const { fate, times } = job.nature;
  if (STEP_OF.has(fate) || job.struck >= times) return "ok";
  job.struck += 1;
  return fate;
}

/** The head of the queue runs; a zombie runs nothing. @returns `kills_worker` when the render takes its worker along */
export function runPrompts(world: World, instance: Instance): Fate | undefined {
  const { backAtMs } = instance;
  if (backAtMs !== undefined && backAtMs <= world.nowMs) comeUp(world, instance);
  const [head] = instance.prompts;
  if (!head || instance.state === "down" || instance.isZombie) return undefined;
  if (head.startedAtMs === undefined) begin(world, instance, head);
  const endsAtMs = promptEndsAtMs(instance) ?? Number.POSITIVE_INFINITY;
  if (endsAtMs > world.nowMs) return undefined;
  if (head.fate === "kills_comfyui") crash(world, instance);
  else finish(instance, head.fate);
  return head.fate;
}

function begin(world: World, instance: Instance, head: Prompt): void {
  const job = world.jobs.find(({ id }) => id === head.jobId);
  head.startedAtMs = world.nowMs;
  head.fate = instance.isSick ? "cuda_fault" : job ? fateOfRender(job) : "ok";
}

/** When its head ends by itself; undefined when it does not. */
export function promptEndsAtMs({ prompts, isZombie, state }: Instance): number | undefined {
  const [head] = prompts;
  if (head?.startedAtMs === undefined || isZombie || state === "down") return undefined;
  if (head.fate === "silence" || head.fate === "endless") return undefined;
  return head.startedAtMs + RENDER_MS;
}

/** Ends its head now, so or so. */
export function finish(instance: Instance, fate: Fate): void {
  const head = instance.prompts.shift();
  if (head) instance.history.set(head.id, fate);
}

/** Interrupt or delete by id, and look whether it is gone. A zombie never lets go; one that is down has forgotten. */
export function stopPrompt(instance: Instance, promptId: string): boolean {
  if (instance.state === "unreachable") return false;
  if (instance.isZombie && instance.prompts[0]?.id === promptId) return false;
  const before = instance.prompts.length;
  instance.prompts = instance.prompts.filter(({ id }) => id !== promptId);
  if (instance.prompts.length < before) {
    instance.history.set(promptId, "interrupted");
    instance.stopped.add(promptId);
  }
  return true;
}

export function crash(world: World, instance: Instance): void {
  world.promises.onInstanceFault(world, instance);
  Object.assign(instance, { state: "down", prompts: [], isZombie: false, isSick: false });
  instance.history.clear();
  instance.stopped.clear();
  instance.backAtMs = world.isSupervised ? world.nowMs + RESTART_MS : undefined;
}

export function comeUp({ nowMs }: World, instance: Instance): void {
  if (instance.state === "up") return;
  Object.assign(instance, { state: "up", backAtMs: undefined, upSinceMs: nowMs });
}

/** The operator's restart command, or the operator. */
export function restart(world: World, instance: Instance): void {
  crash(world, instance);
  instance.backAtMs = world.nowMs + RESTART_MS;
}
