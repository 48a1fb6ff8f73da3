import type { Progress } from "@comfyq/contract";
import type { HeldJob } from "@comfyq/queue";

/** Pure. Progress of a job whose render is over. @param message why it has not ended yet, for its customer */
export function allNodesDone({ request }: Pick<HeldJob, "request">, message: string | null = null): Progress {
  const nodes = Object.keys(request.workflow).length;
  const none = { current_node: null, current_node_class: null, step: null, steps: null };
  return { value: 1, nodes_done: nodes, nodes_total: nodes, ...none, message };
}
