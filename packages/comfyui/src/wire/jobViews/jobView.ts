import { isObject } from "../validation/pythonValues.ts";
import { type ListedOutputs, summariseOutputs } from "./summariseOutputs.ts";

/** One job as the jobs API shows it (reference/comfyui-protocol.md §1.4). */
export type JobView = Readonly<Record<string, unknown>>;

/** What differs between versions. */
interface JobViewProfile {
  /** `cancelled` since 0.8.2; before, an interrupted job was `failed`. */
  readonly knowsCancelledJobs: boolean;
  readonly countsPreviewableOutputs: boolean;
}

/** An ended prompt, as history has it. */
export interface EndedPrompt {
  readonly prompt: readonly [number: number, id: string, graph: unknown, extraData: unknown, outputs: unknown];
  readonly outputs: ListedOutputs;
  readonly status: {
    readonly status_str: string;
    readonly messages: readonly (readonly [string, Readonly<Record<string, unknown>>, ...unknown[]])[];
  };
}

interface OpenPrompt {
  readonly promptId: string;
  readonly number: number;
  readonly extraData: Readonly<Record<string, unknown>>;
  readonly status: "pending" | "in_progress";
}

export function openJobView({ promptId, number, extraData, status }: OpenPrompt, profile: JobViewProfile): JobView {
  return withoutNulls({
    id: promptId,
    status,
    priority: number,
    create_time: extraData["create_time"],
    outputs_count: 0,
    previewable_outputs_count: profile.countsPreviewableOutputs ? 0 : undefined,
    workflow_id: workflowId(extraData),
  });
}

export function endedJobView({ prompt, outputs, status }: EndedPrompt, profile: JobViewProfile): JobView {
  const [number, id, , extraData] = prompt;
  const messages = new Map(status.messages.map(([type, data]) => [type, data]));
  const end =
    messages.get("execution_success") ?? messages.get("execution_error") ?? messages.get("execution_interrupted");
  const failed = messages.has("execution_interrupted") && profile.knowsCancelledJobs ? "cancelled" : "failed";
  const summary = summariseOutputs(outputs);
  return withoutNulls({
    id,
    status: status.status_str === "success" ? "completed" : failed,
    priority: number,
    create_time: isObject(extraData) ? extraData["create_time"] : undefined,
    execution_start_time: messages.get("execution_start")?.["timestamp"],
    execution_end_time: end?.["timestamp"],
    execution_error: messages.get("execution_error"),
    outputs_count: summary.count,
    previewable_outputs_count: profile.countsPreviewableOutputs ? summary.previewableCount : undefined,
    preview_output: summary.preview,
    workflow_id: isObject(extraData) ? workflowId(extraData) : undefined,
  });
}

/** The same with all that is known. */
export function wholeJobView(ended: EndedPrompt, profile: JobViewProfile): JobView {
  const [, , prompt, extra_data] = ended.prompt;
  const { normalised } = summariseOutputs(ended.outputs);
  const whole = { outputs: normalised, execution_status: ended.status, workflow: { prompt, extra_data } };
  return { ...endedJobView(ended, profile), ...whole };
}

function workflowId(extraData: Readonly<Record<string, unknown>>): unknown {
  const info = extraData["extra_pnginfo"];
  const workflow = isObject(info) ? info["workflow"] : undefined;
  return isObject(workflow) ? workflow["id"] : undefined;
}

function withoutNulls(job: Record<string, unknown>): JobView {
  return Object.fromEntries(Object.entries(job).filter(([, value]) => value !== undefined && value !== null));
}
