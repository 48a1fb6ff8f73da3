import { isComfyError, type PromptProgress, type Rendered } from "@comfyq/comfyui";
import type { Progress } from "@comfyq/contract";
import { failPoint, isBroken } from "@comfyq/runtime";
import type { Tools } from "../tools.ts";
import { allNodesDone } from "./allNodesDone.ts";
import { type AttemptRun, historyOf } from "./attempt.ts";
import { refusePartialOutputs } from "./refusePartialRun.ts";

/** Failures of a prompt that has ended; after all others it may run on. */
const ENDED = ["node_failed", "out_of_memory", "cuda_fault", "disk_full", "interrupted", "prompt_lost"] as const;

/** Follows the prompt to its end, showing progress and previews on the way. */
export async function renderPrompt(run: AttemptRun, promptId: string, tools: Tools): Promise<Rendered> {
  const { job, signal } = run;
  run.takeGpu();
  const patience = await tools.patience.forAttempt();
  await job.journal({ stage: "rendering", prepare_ms: run.times.prepareMs });
  await failPoint("executing", historyOf(run));
  const rendered = await tools.comfyui
    .watch(promptId, {
      signal,
      workflow: job.request.workflow,
      stallMs: patience.stallMs,
      onSilence: patience.onSilence,
      onProgress: showProgress(run),
      onSuccess: () => run.leaveGpu(), // history will say what came of it; the next job need not wait for that
      onPreview: ({ node_id, contentType, image }) =>
        job.show({
          event: "preview",
          data: {
            node_id: node_id ?? null,
            content_type: contentType,
            data_base64: Buffer.from(image).toString("base64"),
          },
        }),
    })
    .catch((error: unknown) => {
      run.mayRun = !(isComfyError(error, ...ENDED) || (isComfyError(error) && error.facts.failure !== undefined));
      throw error;
    });
  run.mayRun = false;
  tools.instance.noteRendered();
  patience.keep();
  const only = job.head.prompt?.is_partial ? job.head.prompt.outputs : undefined;
  refusePartialOutputs(rendered, { workflow: job.request.workflow, only }, tools.instance.facts()?.classes);
  await failPoint("rendered", historyOf(run));
  job.report(allNodesDone(job));
  return rendered;
}

/** A lazy node may be entered twice; the customer's bar may not go back. */
function showProgress({ job }: AttemptRun): (prompt: PromptProgress) => void {
  let shownValue = 0;
  return (prompt) => {
    const progress = toProgress(prompt);
    shownValue = Math.max(shownValue, progress.value);
    // Broken for a test: the bar runs backwards.
    job.report({ ...progress, value: isBroken("progress_jumps_back") ? 1 - shownValue : shownValue });
  };
}

function toProgress({ nodesTotal, nodesDone, node }: PromptProgress): Progress {
  const part = node && node.max > 0 ? Math.min(node.value / node.max, 1) : 0;
  const counts = node !== undefined && node.max > 1;
  return {
    value: nodesTotal === 0 ? 0 : Math.min((nodesDone + (nodesDone < nodesTotal ? part : 0)) / nodesTotal, 1),
    nodes_done: nodesDone,
    nodes_total: nodesTotal,
    current_node: node?.node_id ?? null,
    current_node_class: node?.class_type ?? null,
    step: counts ? node.value : null,
    steps: counts ? node.max : null,
    message: null,
  };
}
