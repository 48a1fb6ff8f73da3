import { type InputSource, parseParamPath, type Workflow } from "@comfyq/contract";
import { expectedOf } from "../inputs/check/expectedOf.ts";
import { JobError } from "../jobError.ts";
import type { Tools } from "../tools.ts";
import { type AttemptRun, historyOf, patientOf } from "./attempt.ts";
import { withJobFolder } from "./filenamePrefix.ts";

/**
 * Brings every input of the job onto the instance and returns the graph as it will run: inputs named as ComfyUI knows
 * them, outputs in a folder of this attempt's own. One source that several inputs name is fetched once.
 * @throws JobError `input_unavailable` | `input_unreachable` | `input_too_large`; ComfyError from the upload
 */
export async function placeInputs(run: AttemptRun, tools: Tools): Promise<Workflow> {
  const { job, signal } = run;
  const graph = withJobFolder(job.request.workflow, job);
  const staging = { ...patientOf(run), tenant: job.tenant, secrets: () => run.secrets.open(), facts: historyOf(run) };
  const placed = new Map<string, string>();
  const place = async (source: InputSource, label: string): Promise<string> => {
    const key = JSON.stringify(source);
    const expected = expectedOf(job.request.workflow, label);
    const name = placed.get(key) ?? (await tools.inputs.stage({ source, label, expected }, staging));
    placed.set(key, name);
    return name;
  };
  for (const [path, source] of Object.entries(job.request.inputs)) {
    signal.throwIfAborted();
    writeInput(graph, path, await place(source, path));
  }
  for (const [destination, source] of Object.entries(job.request.files)) {
    signal.throwIfAborted();
    renameInputs(graph, destination.replace(/^\/input\//, ""), await place(source, destination));
  }
  return graph;
}

function writeInput(graph: Workflow, path: string, name: string): void {
  const address = parseParamPath(path);
  const node = address && graph[address.nodeId];
  if (!address || !node)
    throw new JobError(
      "input_unavailable",
      `Input ${path} names no node of this workflow; write it as <node id>.inputs.<name>`,
    );
  node.inputs[address.input] = name;
}

/** A `files` destination is meant by its name: whatever input of the graph says that name now says ours. */
function renameInputs(graph: Workflow, name: string, placedName: string): void {
  for (const node of Object.values(graph))
    for (const [input, value] of Object.entries(node.inputs)) if (value === name) node.inputs[input] = placedName;
}
