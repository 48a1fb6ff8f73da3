import { type InputSource, parseParamPath, type SourceHashes, type Workflow } from "@comfyq/contract";
import { failPoint } from "@comfyq/runtime";
import type { Staged, Staging } from "../inputs/stageInput.ts";
import { wishesOf } from "../inputs/wishes.ts";
import { JobError } from "../jobError.ts";
import { isModel } from "../models/modelWish.ts";
import type { Tools } from "../tools.ts";
import { type AttemptRun, historyOf, patientOf } from "./attempt.ts";
import { withJobFolder } from "./filenamePrefix.ts";

/** A job that can be submitted. */
export interface PlacedJob {
  /** The graph as it will run: inputs named as ComfyUI knows them, outputs in a folder of this attempt's own. */
  readonly workflow: Workflow;
  readonly hashes: SourceHashes;
}

/**
 * Brings every input of the job onto the instance. One source that several inputs name is fetched once.
 * @throws JobError `input_unavailable` | `input_unreachable` | `input_too_large`; ComfyError from the upload
 */
export async function placeInputs(run: AttemptRun, tools: Tools): Promise<PlacedJob> {
  const { job, signal } = run;
  const graph = withJobFolder(job.request.workflow, job);
  const reached: Staging["reached"] = (point) => failPoint(point, historyOf(run));
  const staging = { ...patientOf(run), tenant: job.tenant, secrets: () => run.secrets.open(), reached };
  const placed = new Map<string, Staged>();
  for (const wish of wishesOf(job.request)) {
    signal.throwIfAborted();
    placed.set(JSON.stringify(wish.source), await tools.inputs.stage(wish, staging));
  }
  const hashes: { inputs: Record<string, string>; files: Record<string, string> } = { inputs: {}, files: {} };
  const stagedAt = (source: InputSource) => placed.get(JSON.stringify(source));
  for (const [path, source] of Object.entries(job.request.inputs)) {
    const staged = stagedAt(source);
    hashes.inputs[path] = staged?.content.sha256 ?? "";
    writeInput(graph, path, staged?.name ?? "");
  }
  for (const [destination, source] of Object.entries(job.request.files)) {
    if (isModel(destination)) continue;
    const staged = stagedAt(source);
    hashes.files[destination] = staged?.content.sha256 ?? "";
    renameInputs(graph, destination.replace(/^\/input\//, ""), staged?.name ?? "");
  }
  return { workflow: graph, hashes };
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
