import { type JobFailure, jobFailure, type StopReport } from "@comfyq/contract";
import type { HeldJob, Outcome } from "@comfyq/queue";
import { failPoint, monotonicMs, noteHistory, nowMs, withDeadline } from "@comfyq/runtime";
import type { EndedAttempt } from "./activity.ts";
import { type AttemptRun, historyOf, type StopReason } from "./attempt/attempt.ts";
import { decideOutcome } from "./attempt/decideOutcome.ts";
import { forgetPrompt } from "./attempt/forgetPrompt.ts";
import { lendSecrets } from "./attempt/jobSecrets.ts";
import { judgeFailure } from "./attempt/judgeFailure.ts";
import { keepEntry } from "./attempt/keepEntry.ts";
import { runAttempt } from "./attempt/runAttempt.ts";
import { SharedResult } from "./attempt/shareResult.ts";
import { stopClock } from "./attempt/stopClock.ts";
import { stopPrompt } from "./attempt/stopPrompt.ts";
import { hereOf } from "./config.ts";
import { orAborted } from "./orAborted.ts";
import type { Tools } from "./tools.ts";

interface Surroundings {
  /** Aborts when the process stops and the running job's time to finish is over. */
  readonly draining: AbortSignal;
  /** Aborts shortly after `draining`: what insists on something stops insisting. */
  readonly leaving: AbortSignal;
  /** Called when ComfyUI has its prompt. */
  readonly onGpuBusy: () => void;
  /** Called with the size of what it has rendered, when that is known. */
  readonly onWeighed: (bytes: number) => void;
  /** Resolves when the next job renders, or it is not worth waiting for it. Never rejects. */
  readonly untilNextBegins: () => Promise<void>;
  /** Called when it is over; for measuring. */
  readonly onEnded: (attempt: EndedAttempt) => void;
  /** Called once, when this job needs the GPU no more. */
  readonly onGpuFree: () => void;
}

/** How long a canceled or overdue job is kept while its prompt ignores every way of stopping it. */
const STUCK_PATIENCE_MS = 600_000;
/** Longest wait for the fleet's list; without it, nobody is elsewhere. */
const FLEET_MS = 5_000;

/** Runs one attempt at a held job and lets the job go, whatever happens. Never rejects. */
export async function carryOut(held: HeldJob, tools: Tools, surroundings: Surroundings): Promise<void> {
  const startedAtMs = monotonicMs();
  const queuedMs = queuedFor(held);
  const clock = stopClock(held, surroundings.draining);
  const gpu = createMeter();
  const run: AttemptRun = {
    job: held,
    instance: tools.config.instanceName,
    signal: clock.signal,
    leaving: surroundings.leaving,
    times: { prepareMs: 0, renderMs: 0, storeMs: 0 },
    secrets: lendSecrets(held, tools.secretBox),
    promptId: undefined,
    mayRun: false,
    submission: undefined,
    stopRelay: undefined,
    storedNames: new Map(),
    takeGpu: () => {
      gpu.start();
      surroundings.onGpuBusy();
    },
    weigh: surroundings.onWeighed,
    models: [],
    untimed: (work) => clock.untimed(work),
    untilNextBegins: surroundings.untilNextBegins,
    leaveGpu: onlyOnce(() => {
      gpu.stop();
      clock.forgetTimeout();
      for (const model of run.models) void model.release();
      surroundings.onGpuFree();
    }),
  };
  const outcome = await outcomeOf(run, tools).catch((cause: unknown) => outcomeOfMistake(run, tools, cause));
  if (run.mayRun || isUntouched(run)) tools.instance.lookAgain();
  run.leaveGpu();
  clock.close();
  tools.inputs.forgetJob(held.id);
  if (outcome?.kind === "succeeded" || outcome?.kind === "failed") await keepEntry(run, tools);
  run.stopRelay?.();
  run.secrets.forget();
  const ended =
    outcome !== undefined &&
    (await held.end(outcome, gpu.spentMs()).catch((cause: unknown) => notEnded(run, tools, cause)));
  const told = { outcome: outcome?.kind ?? "dropped", code: failureOf(outcome)?.code, ended };
  surroundings.onEnded({ outcome: told.outcome, code: told.code ?? "", stages: stagesOf(run, queuedMs) });
  await failPoint("settled", historyOf(run, told)).catch(() => {}); // all is done that a failure could undo
  tools.log.info(
    {
      jobId: held.id,
      attempt: held.epoch,
      promptId: run.promptId,
      pool: held.pool,
      ...told,
      durationMs: Math.round(monotonicMs() - startedAtMs),
    },
    "attempt ended",
  );
  if (!ended || goesOn(outcome))
    tools.instance.tidyLater(); // somebody may go on from its prompt
  else await forgetPrompt(run, tools);
}

/** Will a later attempt go on from the prompt of this one? */
function goesOn(outcome: Outcome | undefined): boolean {
  return outcome?.kind === "give_back" || (outcome?.kind === "retry" && outcome.error.code === "output_push_failed");
}

/** Nothing that waiting would mend: the lock runs out, and whoever claims the job next goes on from the journal. */
function notEnded({ job }: AttemptRun, { log }: Tools, cause: unknown): false {
  log.error({ jobId: job.id, cause }, "job could not be let go");
  return false;
}

/** Before its first attempt, from when it could have started; undefined for later ones. Clocks may differ: never below 0. */
function queuedFor({ earlier, createdAtMs, head }: HeldJob): number | undefined {
  if (earlier.length > 0) return undefined;
  const dueAtMs = head.run_at === undefined ? 0 : Date.parse(head.run_at);
  return Math.max(0, nowMs() - Math.max(createdAtMs, dueAtMs));
}

function stagesOf({ times }: AttemptRun, queuedMs: number | undefined): Record<string, number> {
  const reached = { prepare: times.prepareMs, render: times.renderMs, store: times.storeMs };
  const took = Object.entries(reached).filter(([, ms]) => ms > 0);
  return { ...(queuedMs !== undefined && { queued: queuedMs }), ...Object.fromEntries(took) };
}

/** How long this attempt had the GPU. */
function createMeter() {
  let startedAtMs: number | undefined;
  let stoppedAtMs: number | undefined;
  return {
    start: () => {
      startedAtMs ??= monotonicMs();
    },
    stop: () => {
      stoppedAtMs = monotonicMs();
    },
    spentMs: () => (startedAtMs === undefined ? 0 : (stoppedAtMs ?? monotonicMs()) - startedAtMs),
  };
}

function onlyOnce(act: () => void): () => void {
  let done = false;
  return () => {
    if (done) return;
    done = true;
    act();
  };
}

/** It ended before it looked for the prompt that an earlier attempt may have left here. */
function isUntouched({ job, promptId }: AttemptRun): boolean {
  return promptId === undefined && job.earlier.some((attempt) => attempt.prompt_id !== null);
}

function failureOf(outcome: Outcome | undefined): JobFailure | undefined {
  return outcome && "error" in outcome ? outcome.error : undefined;
}

/** @returns undefined when the job is another's by now: then nothing may be written */
async function outcomeOf(run: AttemptRun, tools: Tools): Promise<Outcome | undefined> {
  try {
    return { kind: "succeeded", manifest: await orAborted(runAttempt(run, tools), run.signal) };
  } catch (error) {
    if (run.signal.aborted) return outcomeOfStop(run, tools);
    if (error instanceof SharedResult) return error.outcome;
    const failure = run.secrets.scrub(await judgeFailure(run, tools, error));
    tools.instance.noteFailure(failure);
    return decide(run, tools, failure);
  }
}

/** A mistake of ours, outside of every step: the job must not stay held for ever because of it. */
async function outcomeOfMistake(run: AttemptRun, tools: Tools, cause: unknown): Promise<Outcome | undefined> {
  tools.log.error({ jobId: run.job.id, cause }, "attempt could not be judged");
  return decide(run, tools, jobFailure("internal", "The worker made a mistake; its log has more"));
}

async function decide(run: AttemptRun, tools: Tools, failure: JobFailure): Promise<Outcome> {
  const { earlier, head, signal } = run.job;
  const neighbours = await orAborted(tools.neighbours(), withDeadline(signal, FLEET_MS)).catch(() => []);
  const tries = { earlier, maxAttempts: head.max_attempts, ...hereOf(tools.config), neighbours };
  return decideOutcome(failure, tries, Math.random());
}

async function outcomeOfStop(run: AttemptRun, tools: Tools): Promise<Outcome | undefined> {
  const reason: StopReason = run.signal.reason;
  switch (reason) {
    case "drained": // the prompt is left running: this worker's next life, or a neighbour, finds it by the journal
      await orAborted(run.submission ?? Promise.resolve(), run.leaving).catch(() => {}); // else it could arrive unseen
      return { kind: "give_back", reason: "its worker is stopping" };
    case "lock_lost":
      noteHistory("fenced", historyOf(run));
      // A process that slept for long may find another worker at its ComfyUI, who goes on from this very prompt.
      if (run.mayRun && !(await tools.instance.isAnothers())) await stopPrompt(run, 0, tools);
      run.mayRun = false;
      return undefined;
    case "canceled":
      await stopAndTell(run, tools);
      return { kind: "failed", error: jobFailure("canceled", "Canceled while it ran") };
    case "timeout":
      return { kind: "failed", error: jobFailure("timeout", timeoutMessage(run, await stopAndTell(run, tools))) };
  }
}

/** @returns undefined when there was nothing to stop */
async function stopAndTell(run: AttemptRun, tools: Tools): Promise<StopReport | undefined> {
  if (!run.mayRun) return undefined;
  const stop = await stopPrompt(run, STUCK_PATIENCE_MS, tools);
  await run.job.journal({ stop }).catch(() => {}); // the lock was lost meanwhile: nobody may write
  return stop;
}

function timeoutMessage({ job }: AttemptRun, stop: StopReport | undefined): string {
  const message = `It ran longer than its timeout_s (${job.head.timeout_s} s); allow more, or make the workflow smaller`;
  if (!stop?.ignored_by) return message;
  const { node_id, class_type } = stop.ignored_by;
  return `${message}. Node ${node_id} (${class_type ?? "unknown class"}) ignores interrupts`;
}
