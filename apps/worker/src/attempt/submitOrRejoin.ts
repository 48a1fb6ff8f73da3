import { connectComfyUi } from "@comfyq/comfyui";
import type { NodeErrors } from "@comfyq/comfyui/wire";
import type { Attempt, Workflow } from "@comfyq/contract";
import { COMFYQ_NAMESPACE, failPoint, uuidV5 } from "@comfyq/runtime";
import { JobError } from "../jobError.ts";
import type { Tools } from "../tools.ts";
import type { AttemptRun } from "./attempt.ts";
import { plainFaults } from "./toJobError.ts";

/** How long a neighbour's instance is asked to stop a prompt that is now ours. */
const STOP_ELSEWHERE_MS = 5_000;

/**
 * Finds the prompt that an earlier attempt left on this instance, or submits a new one; never blindly a second one.
 * The `prompt_id` stands in the journal before ComfyUI hears it.
 * @returns the id to watch
 */
export async function submitOrRejoin(run: AttemptRun, graph: Workflow, tools: Tools): Promise<string> {
  const { job } = run;
  const left = await findLeftPrompt(run, tools);
  if (left) {
    run.promptId = left;
    await job.journal({ prompt_id: left, stage: "submitted" });
    tools.log.info({ jobId: job.id, attempt: job.epoch, promptId: left }, "rejoined a running prompt");
    return left;
  }
  await stopElsewhere(run, tools);
  const promptId = uuidV5(`${job.id}:${job.epoch}`, COMFYQ_NAMESPACE);
  run.signal.throwIfAborted();
  await job.journal({ prompt_id: promptId, stage: "submitted" });
  await failPoint("journaled");
  run.promptId = promptId;
  const submitted = await tools.comfyui.submit({
    promptId,
    workflow: graph,
    extraData: { comfyq: { job_id: job.id, epoch: job.epoch } },
    signal: run.signal,
  });
  await failPoint("submitted");
  if (submitted.promptId !== promptId) await job.journal({ prompt_id: submitted.promptId });
  run.promptId = submitted.promptId;
  refusePartialRun(submitted.nodeErrors);
  return submitted.promptId;
}

/** Attempts that ended without saying how, or were given back, may have left a prompt behind. */
function mayHaveLeftPrompt(attempt: Attempt): attempt is Attempt & { prompt_id: string } {
  return attempt.prompt_id !== null && (attempt.end === null || attempt.end === "given_back");
}

async function findLeftPrompt(run: AttemptRun, tools: Tools): Promise<string | undefined> {
  for (const attempt of run.job.earlier.toReversed()) {
    if (attempt.instance !== tools.config.instanceName || !mayHaveLeftPrompt(attempt)) continue;
    const found = await tools.comfyui.find(attempt.prompt_id, { signal: run.signal });
    if (found.kind === "running" || found.kind === "pending") return attempt.prompt_id;
    // One that failed or was interrupted meanwhile is nothing to go on from.
    if (found.kind === "finished" && found.entry.status?.status_str === "success") return attempt.prompt_id;
  }
  return undefined;
}

/** The job is ours now: whatever a lost worker left running on its own instance only burns that GPU. Best effort. */
async function stopElsewhere(run: AttemptRun, tools: Tools): Promise<void> {
  const others = run.job.earlier
    .filter((attempt) => attempt.instance !== tools.config.instanceName)
    .filter(mayHaveLeftPrompt);
  await Promise.all(
    others.map(async ({ instance, prompt_id }) => {
      const apiKey = tools.config.COMFYUI_API_KEY;
      const other = connectComfyUi({ url: instance, ...(apiKey === undefined ? {} : { apiKey }) });
      try {
        await other.cancel(prompt_id, { deadlineMs: STOP_ELSEWHERE_MS, signal: run.signal });
      } catch (cause) {
        tools.log.warn(
          { jobId: run.job.id, promptId: prompt_id, cause },
          "a lost worker's instance could not be reached",
        );
      } finally {
        await other.close();
      }
    }),
  );
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
