import { type InputSource, parseParamPath, type Workflow } from "@comfyq/contract";
import { failPoint } from "@comfyq/runtime";
import type { Staging } from "../inputs/stageInput.ts";
import { wishesOf } from "../inputs/wishes.ts";
import { JobError } from "../jobError.ts";
import { isModel } from "../models/modelWish.ts";
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
  const reached: Staging["reached"] = (point) => failPoint(point, historyOf(run));
  const staging = { ...patientOf(run), tenant: job.tenant, secrets: () => run.secrets.open(), reached };
  const placed = new Map<string, string>();
  for (const wish of wishesOf(job.request)) {
    signal.throwIfAborted();
    placed.set(JSON.stringify(wish.source), await tools.inputs.stage(wish, staging));
  }
  const nameOf = (source: InputSource) => placed.get(JSON.stringify(source)) ?? "";
  for (const [path, source] of Object.entries(job.request.inputs)) writeInput(graph, path, nameOf(source));
  for (const [destination, source] of Object.entries(job.request.files))
    if (!isModel(destination)) renameInputs(graph, destination.replace(/^\/input\//, ""), nameOf(source));
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
