import { connectComfyUi, isComfyError, type Submitted } from "@comfyq/comfyui";
import type { NodeErrors } from "@comfyq/comfyui/wire";
import type { Attempt, Workflow } from "@comfyq/contract";
import { COMFYQ_NAMESPACE, failPoint, isBroken, newId, noteHistory, uuidV5 } from "@comfyq/runtime";
import { JobError } from "../jobError.ts";
import type { Tools } from "../tools.ts";
import { type AttemptRun, assertOurs, historyOf } from "./attempt.ts";
import { plainFaults } from "./toJobError.ts";

/** How long an instance is asked to stop a prompt of an earlier attempt. */
const STOP_EARLIER_MS = 5_000;

/**
 * Finds the prompt that an earlier attempt left on this instance, or submits a new one; never blindly a second one.
 * The `prompt_id` stands in the journal before ComfyUI hears it.
 * @param prepare makes the graph ready to be sent; not called when there is a prompt to go on from
 * @returns the id to watch
 */
export async function submitOrRejoin(run: AttemptRun, prepare: () => Promise<Workflow>, tools: Tools): Promise<string> {
  const left = isBroken("submit_blindly") ? undefined : await findLeftPrompt(run, tools); // broken for a test: nobody looks
  if (left !== undefined) return rejoin(run, left, tools);
  await stopEarlier(run, tools);
  return submit(run, await prepare(), tools);
}

async function rejoin(run: AttemptRun, promptId: string, tools: Tools): Promise<string> {
  const { job } = run;
  run.promptId = promptId;
  run.mayRun = true;
  await job.journal({ prompt_id: promptId, stage: "submitted" });
  noteHistory("rejoined", historyOf(run));
  tools.log.info({ jobId: job.id, attempt: job.epoch, promptId }, "rejoined a prompt that was left");
  return promptId;
}

async function submit(run: AttemptRun, workflow: Workflow, tools: Tools): Promise<string> {
  const { job } = run;
  // Broken for a test: an id that nobody can look for.
  const promptId = isBroken("submit_blindly") ? newId() : uuidV5(`${job.id}:${job.epoch}`, COMFYQ_NAMESPACE);
  await job.journal({ prompt_id: promptId, stage: "submitted" });
  await failPoint("journaled", historyOf(run, { prompt: promptId }));
  assertOurs(run);
  const submitted = await send(run, { promptId, workflow }, tools);
  await failPoint("submitted", historyOf(run));
  if (submitted.promptId !== promptId) await job.journal({ prompt_id: submitted.promptId });
  refusePartialRun(submitted.nodeErrors);
  return submitted.promptId;
}

interface Prompt {
  readonly promptId: string;
  readonly workflow: Workflow;
}

/** Without the run's signal: a request that is cut off may still be obeyed, and a stop must know what it has to stop. */
async function send(run: AttemptRun, { promptId, workflow }: Prompt, tools: Tools): Promise<Submitted> {
  const extraData = { comfyq: { job_id: run.job.id, epoch: run.job.epoch } };
  const sending = tools.comfyui.submit({ promptId, workflow, extraData });
  run.promptId = promptId;
  run.mayRun = true;
  run.submission = sending.then(
    (submitted) => {
      run.promptId = submitted.promptId; // of a server that gives ids of its own
    },
    () => {}, // told below
  );
  try {
    return await sending;
  } catch (error) {
    if (isBroken("submit_blindly")) return tools.comfyui.submit({ promptId: newId(), workflow, extraData }); // once more
    run.mayRun = mayBeThere(error);
    // A ComfyUI that has not met this job cannot have died of it.
    if (!run.mayRun) await run.job.journal({ prompt_id: null, stage: "preparing" });
    throw error;
  }
}

/** A refusal, or a connection that never came about, leaves no prompt; a lost answer may. */
function mayBeThere(error: unknown): boolean {
  if (!isComfyError(error)) return true;
  const { code, facts } = error;
  return code === "unknown_outcome" || code === "protocol" || code === "closed" || facts.confirmedAbsent !== undefined;
}

/** Attempts that ended without saying how, or were given back, may have left a prompt behind. */
function mayHaveLeftPrompt(attempt: Attempt): attempt is Attempt & { prompt_id: string } {
  return attempt.prompt_id !== null && (attempt.end === null || attempt.end === "given_back");
}

async function findLeftPrompt(run: AttemptRun, tools: Tools): Promise<string | undefined> {
  for (const attempt of run.job.earlier.toReversed()) {
    if (attempt.instance !== run.instance || !mayHaveLeftPrompt(attempt)) continue;
    const found = await tools.comfyui.find(attempt.prompt_id, { signal: run.signal });
    if (found.kind === "running" || found.kind === "pending") return attempt.prompt_id;
    // One that failed or was interrupted meanwhile is nothing to go on from.
    if (found.kind === "finished" && found.entry.status?.status_str === "success") return attempt.prompt_id;
  }
  return undefined;
}

/** The job is ours now: whatever an earlier attempt left running only burns a GPU. Best effort, but for our own GPU. */
async function stopEarlier(run: AttemptRun, tools: Tools): Promise<void> {
  const { earlier } = run.job;
  const stuck = earlier.filter(({ instance, stop }) => instance === run.instance && stop?.stop_ms === null);
  for (const { prompt_id } of stuck) if (prompt_id !== null) await stopHere(run, prompt_id, tools);
  if (isBroken("no_fence")) return; // for a test: what is left elsewhere goes on
  const others = earlier.filter(({ instance }) => instance !== run.instance).filter(mayHaveLeftPrompt);
  await Promise.all(others.map((attempt) => stopElsewhere(run, attempt, tools)));
}

async function stopHere(run: AttemptRun, promptId: string, tools: Tools): Promise<void> {
  const { stopped } = await tools.comfyui.cancel(promptId, { deadlineMs: STOP_EARLIER_MS, signal: run.signal });
  if (stopped) return;
  tools.instance.lookAgain(promptId);
  throw new JobError("comfyui_unreachable", "A prompt that ignores interrupts still runs there; restart that ComfyUI");
}

async function stopElsewhere(
  run: AttemptRun,
  { instance, prompt_id }: { readonly instance: string; readonly prompt_id: string },
  tools: Tools,
): Promise<void> {
  const apiKey = tools.config.COMFYUI_API_KEY;
  const other = connectComfyUi({ url: instance, ...(apiKey === undefined ? {} : { apiKey }) });
  try {
    await other.cancel(prompt_id, { deadlineMs: STOP_EARLIER_MS, signal: run.signal });
  } catch (cause) {
    run.signal.throwIfAborted();
    tools.log.warn({ jobId: run.job.id, promptId: prompt_id, cause }, "a lost worker's instance could not be reached");
  } finally {
    await other.close();
  }
}

/** ComfyUI answers 200, drops invalid outputs and runs the rest; the customer asked for all of them (protocol §1.1). */
function refusePartialRun(nodeErrors: NodeErrors): void {
  const nodes = Object.keys(nodeErrors);
  if (nodes.length === 0) return;
  throw new JobError(
    "workflow_rejected",
    `ComfyUI refused a part of this workflow (nodes ${nodes.join(", ")}); mend or remove it`,
    {
      nodeId: nodes[0],
      details: { faults: plainFaults(nodeErrors) },
    },
  );
}
