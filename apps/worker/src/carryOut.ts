import { jobFailure } from "@comfyq/contract";
import type { HeldJob, Outcome } from "@comfyq/queue";
import { failPoint, monotonicMs, sleep } from "@comfyq/runtime";
import type { AttemptRun, StopReason } from "./attempt/attempt.ts";
import { decideOutcome } from "./attempt/decideOutcome.ts";
import { runAttempt } from "./attempt/runAttempt.ts";
import { stopPrompt, tidyInstance } from "./attempt/stopPrompt.ts";
import { toJobError } from "./attempt/toJobError.ts";
import type { Instance } from "./instance.ts";
import type { Tools } from "./tools.ts";

interface Surroundings {
  readonly instance: Instance;
  /** Aborts when the process stops and the running job's time to finish is over. */
  readonly draining: AbortSignal;
  /** Called once, when this job needs the GPU no more. */
  readonly onGpuFree: () => void;
}

/** Runs one attempt at a held job and lets the job go, whatever happens. */
export async function carryOut(held: HeldJob, tools: Tools, surroundings: Surroundings): Promise<void> {
  const startedAtMs = monotonicMs();
  const clock = stopClock(held, surroundings.draining);
  const run: AttemptRun = {
    job: held,
    signal: clock.signal,
    times: { prepareMs: 0, renderMs: 0, storeMs: 0 },
    promptId: undefined,
    leaveGpu: onlyOnce(() => {
      clock.forgetTimeout();
      surroundings.onGpuFree();
    }),
  };
  const outcome = await outcomeOf(run, tools, surroundings.instance);
  run.leaveGpu();
  clock.close();
  const ended = outcome !== undefined && (await held.end(outcome));
  await failPoint("settled");
  tools.log.info(
    {
      jobId: held.id,
      attempt: held.epoch,
      promptId: run.promptId,
      pool: held.pool,
      outcome: outcome?.kind ?? "dropped",
      code: outcome && "error" in outcome ? outcome.error?.code : undefined,
      ended,
      durationMs: Math.round(monotonicMs() - startedAtMs),
    },
    "attempt ended",
  );
}

interface StopClock {
  readonly signal: AbortSignal;
  forgetTimeout(): void;
  close(): void;
}

/** Everything that can stop an attempt, as one signal whose reason says which it was. */
function stopClock(held: HeldJob, draining: AbortSignal): StopClock {
  const stop = new AbortController();
  const stopFor = (reason: StopReason) => stop.abort(reason);
  const closed = new AbortController();
  const overdue = new AbortController();
  sleep(held.head.timeout_s * 1_000, overdue.signal).then(
    () => stopFor("timeout"),
    () => {}, // forgotten in time
  );
  const listen = (signal: AbortSignal, reason: () => StopReason) => {
    if (signal.aborted) stopFor(reason());
    signal.addEventListener("abort", () => stopFor(reason()), { once: true, signal: closed.signal });
  };
  listen(held.signal, () => held.signal.reason);
  listen(draining, () => "drained");
  return {
    signal: stop.signal,
    forgetTimeout: () => overdue.abort(),
    close: () => {
      overdue.abort();
      closed.abort();
    },
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

/** @returns undefined when the job is another's by now: then nothing may be written */
async function outcomeOf(run: AttemptRun, tools: Tools, instance: Instance): Promise<Outcome | undefined> {
  try {
    return { kind: "succeeded", manifest: await runAttempt(run, tools) };
  } catch (error) {
    if (run.signal.aborted) return outcomeOfStop(run, tools);
    const failure = toJobError(error);
    if (failure.code === "comfyui_unreachable") instance.noteTrouble(failure.message);
    if (failure.code === "internal")
      tools.log.error({ jobId: run.job.id, cause: error }, "attempt failed unexpectedly");
    await tidyInstance(run, tools, error);
    return decideOutcome(failure, { earlier: run.job.earlier, maxAttempts: run.job.head.max_attempts }, Math.random());
  }
}

async function outcomeOfStop(run: AttemptRun, tools: Tools): Promise<Outcome | undefined> {
  const reason: StopReason = run.signal.reason;
  switch (reason) {
    case "drained": // the prompt is left running: this worker's next life, or a neighbour, finds it by the journal
      return { kind: "give_back", reason: "its worker is stopping" };
    case "lock_lost":
      await stopPrompt(run, tools);
      return undefined;
    case "canceled": {
      const stuck = await stopPrompt(run, tools);
      return { kind: "failed", error: jobFailure("canceled", stuck ?? "Canceled while it ran") };
    }
    case "timeout": {
      const stuck = await stopPrompt(run, tools);
      const message = `It ran longer than its timeout_s (${run.job.head.timeout_s} s); allow more, or make the workflow smaller`;
      return { kind: "failed", error: jobFailure("timeout", stuck ? `${message}. ${stuck}` : message) };
    }
  }
}
