import { isComfyError, missingFiles, type Submitted } from "@comfyq/comfyui";
import { COMFYQ_NAMESPACE, isSameInstance, mayHaveLeftPrompt, uuidV5, type Workflow } from "@comfyq/contract";
import { failPoint, isBroken, newId, noteHistory } from "@comfyq/runtime";
import { hereOf } from "../config.ts";
import { JobError } from "../jobError.ts";
import type { Tools } from "../tools.ts";
import { type AttemptRun, assertOurs, historyOf } from "./attempt.ts";
import { comfySecretsOf } from "./jobSecrets.ts";
import { realPromptId } from "./realPromptId.ts";
import { refusePartialRun } from "./refusePartialRun.ts";
import { relayFrames } from "./relayFrames.ts";
import { stopEarlier } from "./stopEarlier.ts";

/**
 * Finds the prompt that an earlier attempt left on this instance, or submits a new one; never blindly a second one.
 * The `prompt_id` stands in the journal before ComfyUI hears it.
 * @param prepare makes the graph ready to be sent; not called when there is a prompt to go on from, and called again when
 * ComfyUI has lost an input
 * @returns the id to watch
 */
export async function submitOrRejoin(run: AttemptRun, prepare: () => Promise<Workflow>, tools: Tools): Promise<string> {
  const left = isBroken("submit_blindly") ? undefined : await findLeftPrompt(run, tools); // broken for a test: nobody looks
  if (left !== undefined) return rejoin(run, left, tools);
  await clearTheWay(run, tools);
  const workflow = await prepare();
  try {
    return await submit(run, workflow, tools);
  } catch (error) {
    if (!isOfLostInput(error, tools)) throw error;
    return submit(run, await prepare(), tools); // somebody tidied up there; once is enough
  }
}

/** Does ComfyUI lack a file that this worker took to be there? Then it is forgotten, and brought again. */
function isOfLostInput(error: unknown, { inputs }: Tools): boolean {
  return isComfyError(error, "rejected") && inputs.forgetFiles(missingFiles(error.facts.nodeErrors ?? {}));
}

async function rejoin(run: AttemptRun, promptId: string, tools: Tools): Promise<string> {
  const { job } = run;
  run.promptId = promptId;
  run.mayRun = true;
  relayFrames(run, promptId, tools);
  await job.journal({ prompt_id: promptId, stage: "submitted" });
  noteHistory("rejoined", historyOf(run));
  tools.log.info({ jobId: job.id, attempt: job.epoch, promptId }, "rejoined a prompt that was left");
  return promptId;
}

async function submit(run: AttemptRun, workflow: Workflow, tools: Tools): Promise<string> {
  const { job } = run;
  const extraData = await extraDataFor(run, tools);
  // Broken for a test: an id that nobody can look for.
  const promptId = isBroken("submit_blindly") ? newId() : uuidV5(`${job.id}:${job.epoch}`, COMFYQ_NAMESPACE);
  await job.journal({ prompt_id: promptId, stage: "submitted" });
  await failPoint("journaled", historyOf(run, { prompt: promptId }));
  await assertOurInstance(run, tools);
  assertOurs(run);
  const submitted = await send(run, { promptId, workflow, extraData }, tools);
  const asked = submitted.promptId === promptId ? {} : { asked: promptId };
  await failPoint("submitted", historyOf(run, asked));
  if (submitted.promptId !== promptId) await job.journal({ prompt_id: submitted.promptId });
  if (tools.inputs.forgetFiles(missingFiles(submitted.nodeErrors)))
    throw new JobError("interrupted", "An input is not on the instance any more; it is brought again, and all is run");
  refusePartialRun(submitted.nodeErrors);
  return submitted.promptId;
}

/** A process that slept may still hold its job, but not its ComfyUI: the two leases run out at different moments. */
async function assertOurInstance({ job }: AttemptRun, { instance }: Tools): Promise<void> {
  if (await instance.isSurelyOurs()) return;
  await job.journal({ prompt_id: null, stage: "preparing" }); // no ComfyUI has met it
  throw new JobError("comfyui_unreachable", "Another worker may drive this ComfyUI by now; the job is given back");
}

/** Whose prompt it is, and the keys that ComfyUI's API nodes want. */
async function extraDataFor({ job, secrets }: AttemptRun, { comfyui, log }: Tools): Promise<Prompt["extraData"]> {
  const keys = comfySecretsOf(secrets.open());
  if (Object.keys(keys).length > 0) {
    const { hidesKeys, version } = await comfyui.features();
    const message = "this ComfyUI shows a job's comfy.org keys in /queue; 0.3.67 or newer does not";
    if (!hidesKeys) log.warn({ jobId: job.id, version }, message);
  }
  return { ...job.request.extra_data, ...keys, comfyq: { job_id: job.id, epoch: job.epoch } };
}

interface Prompt {
  readonly promptId: string;
  readonly workflow: Workflow;
  readonly extraData: Readonly<Record<string, unknown>>;
}

/** Without the run's signal: a request that is cut off may still be obeyed, and a stop must know what it has to stop. */
async function send(run: AttemptRun, { promptId, workflow, extraData }: Prompt, tools: Tools): Promise<Submitted> {
  relayFrames(run, promptId, tools);
  const { prompt: origin } = run.job.head;
  const wanted = origin?.is_partial ? { onlyOutputs: origin.outputs } : {};
  const sending = tools.comfyui.submit({ promptId, workflow, extraData, ...wanted });
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

async function findLeftPrompt(run: AttemptRun, tools: Tools): Promise<string | undefined> {
  for (const attempt of run.job.earlier.toReversed()) {
    if (!isSameInstance(attempt, hereOf(tools.config)) || !mayHaveLeftPrompt(attempt)) continue;
    const sent = { jobId: run.job.id, epoch: attempt.epoch, promptId: attempt.prompt_id };
    const promptId = tools.config.isCloud ? await realPromptId(tools.comfyui, sent, run.signal) : sent.promptId;
    const found = await tools.comfyui.find(promptId, { signal: run.signal });
    if (found.kind === "running" || found.kind === "pending") return promptId;
    // One that failed or was interrupted meanwhile is nothing to go on from.
    if (found.kind === "finished" && found.entry.status?.status_str === "success") return promptId;
  }
  return undefined;
}

/** The job is ours now: what an earlier attempt left running only burns a GPU, and must be off our own. */
async function clearTheWay(run: AttemptRun, tools: Tools): Promise<void> {
  const [stuck] = await stopEarlier(run.job, tools, run.signal);
  if (stuck === undefined) return;
  tools.instance.lookAgain(stuck);
  throw new JobError("comfyui_unreachable", "A prompt that does not stop still runs there; restart that ComfyUI");
}
