import type { Job, JobEvent, Progress, StopReport } from "@comfyq/contract";

/** A fact about a running job, small enough for one line. */
export interface ProgressLine {
  readonly text: string;
  /** Lines with the same key tell nothing new to who reads a log. */
  readonly key: string;
}

/** Says in one line what an event tells; undefined for what belongs on no line (previews). */
export function describeEvent(event: JobEvent): ProgressLine | undefined {
  switch (event.event) {
    case "status": {
      const { status, stage, attempt, error } = event.data;
      const details = [stage, attempt > 1 ? `attempt ${attempt}` : undefined, error?.message]
        .filter(Boolean)
        .join(", ");
      const text = details ? `${status}: ${details}` : status;
      return { text, key: `status ${text}` };
    }
    case "progress":
      return describeNode(event.data);
    case "output":
      return { text: `stored ${event.data.name}`, key: `output ${event.data.node_id} ${event.data.name}` };
    case "log":
      return { text: event.data.message, key: `log ${event.data.message}` };
    case "preview":
      return undefined;
  }
}

/** Where a job is: node 3/7 KSampler, step 5/20. For a log every tenth of the steps is enough. */
function describeNode(progress: Progress): ProgressLine {
  const node = `node ${Math.min(progress.nodes_done + 1, progress.nodes_total)}/${progress.nodes_total} ${nodeName(progress)}`;
  const { step, steps } = progress;
  if (step === null || !steps) return { text: node.trimEnd(), key: `progress ${node}` };
  const tenth = Math.floor((10 * step) / steps);
  return { text: `${node}, step ${step}/${steps}`, key: `progress ${node} ${tenth}` };
}

/** The node a job is at, as a human knows it. */
export function nodeName({ current_node_class, current_node }: Progress): string {
  return current_node_class ?? current_node ?? "";
}

/** How a job ended, in one line. */
export function describeEnd(job: Job): string {
  const { render_ms, store_ms } = job.metrics;
  const times = [
    render_ms === null ? undefined : `rendered in ${inSeconds(render_ms)}`,
    store_ms === null ? undefined : `stored in ${inSeconds(store_ms)}`,
    job.attempts > 1 ? `${job.attempts} attempts` : undefined,
  ];
  const why = job.error ? `${job.error.code}: ${job.error.message}` : times.filter(Boolean).join(", ");
  const details = [why, job.stop ? describeStop(job.stop) : ""].filter(Boolean).join("; ");
  return `Job ${job.id} ${job.status}${details ? ` (${details})` : ""}`;
}

const ESCALATIONS: Readonly<Record<StopReport["escalation"], string>> = {
  none: "",
  free: "its memory was freed",
  restart: "ComfyUI was restarted",
};

/** How a GPU was stopped: what was in the way, how far it had to go, how long it took. */
function describeStop({ stop_ms, ignored_by, escalation }: StopReport): string {
  const node = ignored_by && `node ${ignored_by.node_id}${ignored_by.class_type ? ` (${ignored_by.class_type})` : ""}`;
  return [
    node && `${node} ignored the interrupt`,
    ESCALATIONS[escalation],
    stop_ms === null ? "the GPU was not seen to stop" : `the GPU stopped after ${inSeconds(stop_ms)}`,
  ]
    .filter(Boolean)
    .join("; ");
}

function inSeconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
