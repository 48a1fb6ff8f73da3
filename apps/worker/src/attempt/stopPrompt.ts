import type { Cancelled } from "@comfyq/comfyui";
import type { StopReport } from "@comfyq/contract";
import { monotonicMs, noteHistory, withDeadline } from "@comfyq/runtime";
import { orAborted } from "../orAborted.ts";
import type { Tools } from "../tools.ts";
import { type AttemptRun, historyOf } from "./attempt.ts";
import { realPromptId } from "./realPromptId.ts";

/** After freeing memory, which ComfyUI does between two nodes. */
const FREED_MS = 5_000;

type StopTools = Pick<Tools, "comfyui" | "instance" | "config" | "log">;

/** What is tried, in order, each with the time its prompt is then given to be gone. */
interface Rung {
  readonly escalation: StopReport["escalation"];
  readonly act?: () => Promise<unknown>;
  readonly withinMs: number;
}

/**
 * Stops the prompt of an attempt: interrupts it until it is gone, then frees memory, then restarts ComfyUI if there is a
 * command for it, then waits. The only way a prompt is stopped. Never rejects; ends early when the process is leaving.
 * @param patienceMs how long to wait for a prompt that nothing stops
 * @returns how it went; `stop_ms` null when nobody saw it gone: then the instance claims nothing until it is
 */
export async function stopPrompt(run: AttemptRun, patienceMs: number, tools: StopTools): Promise<StopReport> {
  const startedAtMs = monotonicMs();
  await sent(run, tools.config.COMFYQ_CANCEL_S * 1_000);
  let report: StopReport = { stop_ms: null, ignored_by: null, escalation: "none" };
  if (!run.mayRun) return { ...report, stop_ms: 0 }; // it was refused meanwhile
  let isSilent = false;
  for (const rung of rungsOf(run, patienceMs, tools)) {
    // Nobody answers: ComfyUI may be dead, and its prompt with it. To free its memory or to wait is no use then.
    if (isSilent && rung.escalation !== "restart") continue;
    const seen = await climb(run, rung, tools);
    isSilent = seen === undefined;
    report = { ...report, escalation: rung.escalation, ignored_by: report.ignored_by ?? ignoredBy(seen) };
    if (!seen?.stopped) continue;
    run.mayRun = false;
    report = { ...report, stop_ms: Math.round(monotonicMs() - startedAtMs) };
    break;
  }
  if (report.stop_ms === null) tools.instance.lookAgain(run.promptId);
  noteHistory("stopped", historyOf(run, { stop_ms: report.stop_ms, escalation: report.escalation }));
  tools.log.info({ jobId: run.job.id, attempt: run.job.epoch, promptId: run.promptId, ...report }, "prompt stopped");
  return report;
}

/** A prompt that is on its way cannot be stopped before it has arrived. */
async function sent({ submission, leaving }: AttemptRun, withinMs: number): Promise<void> {
  if (submission) await orAborted(submission, withDeadline(leaving, withinMs)).catch(() => {}); // then stop what there is
}

function rungsOf(run: AttemptRun, patienceMs: number, { config, comfyui, instance }: StopTools): readonly Rung[] {
  const { restart } = instance;
  const interruptMs = config.COMFYQ_CANCEL_S * 1_000;
  const free = () => comfyui.free({ unloadModels: true, freeMemory: true });
  const rungs: Rung[] = [
    { escalation: "none", withinMs: interruptMs },
    { escalation: "free", act: free, withinMs: FREED_MS * config.timeScale },
  ];
  if (restart) rungs.push({ escalation: "restart", act: () => restart(run.leaving), withinMs: interruptMs });
  if (patienceMs > 0) rungs.push({ escalation: restart ? "restart" : "free", withinMs: patienceMs });
  return rungs;
}

/** @returns what was seen of the prompt at the end of the rung's time; undefined when ComfyUI could not be asked */
async function climb(run: AttemptRun, rung: Rung, { comfyui, config, log }: StopTools): Promise<Cancelled | undefined> {
  const { job, leaving } = run;
  if (run.promptId === undefined) return { stopped: true, stopMs: 0 };
  let { promptId } = run;
  try {
    leaving.throwIfAborted();
    if (config.isCloud) promptId = await realPromptId(comfyui, { jobId: job.id, epoch: job.epoch, promptId }, leaving);
    await orAborted(rung.act?.() ?? Promise.resolve(), leaving);
    return await comfyui.cancel(promptId, { deadlineMs: rung.withinMs, signal: leaving });
  } catch (cause) {
    log.warn({ jobId: job.id, promptId, escalation: rung.escalation, cause }, "prompt could not be stopped");
    return undefined;
  }
}

function ignoredBy(seen: Cancelled | undefined): StopReport["ignored_by"] {
  const node = seen?.stuckNode;
  return node ? { node_id: node.node_id, class_type: node.class_type ?? null } : null;
}
