import { asPythonError, PythonError } from "@comfyq/comfyui/wire";
import type { PromptRun } from "./PromptRun.ts";
import { formatInputs } from "./resolveInputs.ts";

/** A node that ended a prompt, and why. */
export interface NodeFailure {
  readonly nodeId: string;
  readonly cause: unknown;
}

const OUT_OF_MEMORY = "torch.OutOfMemoryError";

const OUT_OF_MEMORY_TIPS =
  "This error means you ran out of memory on your GPU.\n\nTIPS: If the workflow worked before you might have accidentally set the batch_size to a large number.";

/** What PyTorch raises when the GPU has no memory left. */
export const outOfMemory = (): PythonError => new PythonError(OUT_OF_MEMORY, "Allocation on device ");

/** What PyTorch raises when the CUDA context is broken: from then on at every use. */
export const cudaError = (): PythonError =>
  new PythonError(
    "torch.AcceleratorError",
    "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be incorrect.",
  );

/** What is raised when the nodes that are left wait for each other. */
export const cycleFault = (): PythonError => new PythonError("graph.DependencyCycleError", "Dependency cycle detected");

/** The part of an `execution_error` message that says what happened (execution.py handle_execution_error). */
export function describeFailure(run: PromptRun, { nodeId, cause }: NodeFailure): Record<string, unknown> {
  const error = asPythonError(cause);
  const isCycle = error.type === "graph.DependencyCycleError";
  const tips = error.type === OUT_OF_MEMORY ? OUT_OF_MEMORY_TIPS : "";
  return {
    exception_message: isCycle ? error.message : `${error.message}\n${tips}`,
    exception_type: error.type,
    traceback: isCycle ? [] : tracebackOf(run, nodeId, error),
    current_inputs: isCycle ? [] : formatInputs(run, nodeId),
    current_outputs: Object.keys(run.prompt.graph),
  };
}

function tracebackOf(run: PromptRun, nodeId: string, error: PythonError): string[] {
  const { class_type } = run.graph.node(nodeId);
  return [
    '  File "/comfyui/execution.py", line 510, in execute\n    output_data = await get_output_data(obj, inputs)\n',
    `  File "/comfyui/nodes.py", line 1, in ${class_type}\n    raise ${error.type}\n`,
  ];
}
