import type { PromptProgress, Rendered } from "@comfyq/comfyui";
import type { Progress } from "@comfyq/contract";
import { failPoint } from "@comfyq/runtime";
import type { Tools } from "../tools.ts";
import type { AttemptRun } from "./attempt.ts";

/** Follows the prompt to its end, showing progress and previews on the way. */
export async function renderPrompt(run: AttemptRun, promptId: string, tools: Tools): Promise<Rendered> {
  const { job, signal } = run;
  let shownValue = 0;
  await job.journal({ stage: "rendering" });
  await failPoint("executing");
  const rendered = await tools.comfyui.watch(promptId, {
    signal,
    stallMs: tools.config.COMFYQ_STALL_S * 1_000,
    onProgress: (prompt) => {
      const progress = toProgress(prompt);
      shownValue = Math.max(shownValue, progress.value); // a lazy node may be entered twice; the customer's bar may not go back
      job.report({ ...progress, value: shownValue });
    },
    onPreview: ({ node_id, contentType, image }) =>
      job.show({
        event: "preview",
        data: {
          node_id: node_id ?? null,
          content_type: contentType,
          data_base64: Buffer.from(image).toString("base64"),
        },
      }),
  });
  await failPoint("rendered");
  job.report(finished(Object.keys(job.request.workflow).length));
  return rendered;
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

function finished(nodes: number): Progress {
  const none = { current_node: null, current_node_class: null, step: null, steps: null, message: null };
  return { value: 1, nodes_done: nodes, nodes_total: nodes, ...none };
}
