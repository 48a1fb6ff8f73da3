import { isObject } from "./graph.ts";
import type { HistoryRecord } from "./History.ts";
import { summariseOutputs } from "./jobOutputs.ts";
import type { Life } from "./Life.ts";
import type { QueuedPrompt } from "./PromptQueue.ts";

/** One job as the jobs API shows it (reference/comfyui-protocol.md §1.4). */
export type JobView = Readonly<Record<string, unknown>>;

export const JOB_STATUSES = ["pending", "in_progress", "completed", "failed", "cancelled"] as const;

/** All jobs: running, pending, finished. */
export function listJobs(life: Life): readonly JobView[] {
  return [
    ...life.queue.running.map((prompt) => queuedJob(life, prompt, "in_progress")),
    ...life.queue.pending.map((prompt) => queuedJob(life, prompt, "pending")),
    ...life.history.entries().map(([, record]) => finishedJob(life, record)),
  ];
}

/** One job with all that is known; undefined when there is none. */
export function findJob(life: Life, promptId: string): JobView | undefined {
  const record = life.history.get(promptId);
  if (record) {
    const [, , prompt, extra_data] = record.prompt;
    const { normalised } = summariseOutputs(record.outputs);
    return {
      ...finishedJob(life, record),
      outputs: normalised,
      execution_status: record.status,
      workflow: { prompt, extra_data },
    };
  }
  const isWanted = (prompt: QueuedPrompt): boolean => prompt.promptId === promptId;
  const running = life.queue.running.find(isWanted);
  if (running) return queuedJob(life, running, "in_progress");
  const pending = life.queue.pending.find(isWanted);
  return pending && queuedJob(life, pending, "pending");
}

/** Interrupts a running job or takes a pending one off the queue; false when there was nothing to do. */
export function cancelJob(life: Life, promptId: string): boolean {
  if (!life.queue.running.some((prompt) => prompt.promptId === promptId)) return life.queue.delete(promptId);
  life.interrupt.set();
  return true;
}

function queuedJob(life: Life, prompt: QueuedPrompt, status: string): JobView {
  return withoutNulls({
    id: prompt.promptId,
    status,
    priority: prompt.number,
    create_time: prompt.extraData["create_time"],
    outputs_count: 0,
    previewable_outputs_count: life.parts.profile.countsPreviewableOutputs ? 0 : undefined,
    workflow_id: workflowId(prompt.extraData),
  });
}

function finishedJob(life: Life, record: HistoryRecord): JobView {
  const [number, id, , extraData] = record.prompt;
  const { knowsCancelledJobs, countsPreviewableOutputs } = life.parts.profile;
  const messages = new Map(record.status.messages);
  const end =
    messages.get("execution_success") ?? messages.get("execution_error") ?? messages.get("execution_interrupted");
  const failed = messages.has("execution_interrupted") && knowsCancelledJobs ? "cancelled" : "failed";
  const outputs = summariseOutputs(record.outputs);
  return withoutNulls({
    id,
    status: record.status.status_str === "success" ? "completed" : failed,
    priority: number,
    create_time: isObject(extraData) ? extraData["create_time"] : undefined,
    execution_start_time: messages.get("execution_start")?.["timestamp"],
    execution_end_time: end?.["timestamp"],
    execution_error: messages.get("execution_error"),
    outputs_count: outputs.count,
    previewable_outputs_count: countsPreviewableOutputs ? outputs.previewableCount : undefined,
    preview_output: outputs.preview,
    workflow_id: isObject(extraData) ? workflowId(extraData) : undefined,
  });
}

function workflowId(extraData: Readonly<Record<string, unknown>>): unknown {
  const info = extraData["extra_pnginfo"];
  const workflow = isObject(info) ? info["workflow"] : undefined;
  return isObject(workflow) ? workflow["id"] : undefined;
}

function withoutNulls(job: Record<string, unknown>): JobView {
  return Object.fromEntries(Object.entries(job).filter(([, value]) => value !== undefined && value !== null));
}
