import { isComfyError } from "@comfyq/comfyui";
import { parseParamPath, type Workflow } from "@comfyq/contract";
import { failPoint } from "@comfyq/runtime";
import { JobError } from "../jobError.ts";
import type { Tools } from "../tools.ts";
import { type AttemptRun, historyOf } from "./attempt.ts";
import { withJobFolder } from "./filenamePrefix.ts";
import { openSource } from "./openSource.ts";
import { patiently } from "./patiently.ts";
import { spool } from "./spool.ts";

/** Where our uploads stand in ComfyUI's input folder; named by content, so equal bytes are one file. */
const UPLOAD_FOLDER = "comfyq";
/** How long an upload that fails is tried again; the input stays on our disk meanwhile. */
const UPLOAD_PATIENCE_MS = 120_000;

/**
 * Brings every input of the job onto the instance and returns the graph as it will run: inputs named as ComfyUI knows
 * them, outputs in a folder of this attempt's own. One source that several inputs name is fetched once.
 * @throws JobError `input_unavailable` | `input_unreachable` | `input_too_large`; ComfyError from the upload
 */
export async function placeInputs(run: AttemptRun, tools: Tools): Promise<Workflow> {
  const { job, signal } = run;
  const graph = withJobFolder(job.request.workflow, job);
  const placed = new Map<string, string>();
  const place = async (source: string, label: string): Promise<string> => {
    const name = placed.get(source) ?? (await placeOne(run, { source, label }, tools));
    placed.set(source, name);
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

interface InputWish {
  readonly source: string;
  /** As the customer wrote it: `10.inputs.image` or `/input/pose.png`. */
  readonly label: string;
}

async function placeOne(run: AttemptRun, wish: InputWish, tools: Tools): Promise<string> {
  const maxBytes = tools.config.COMFYQ_MAX_INPUT_BYTES;
  const source = await openSource(wish, { tenant: run.job.tenant, signal: run.signal }, tools);
  await failPoint("inputs_downloading", historyOf(run));
  await using file = await spool(source.body, { label: wish.label, maxBytes });
  const uploaded = await patiently(run, tools.log, {
    what: "uploading an input",
    patienceMs: UPLOAD_PATIENCE_MS,
    mayPass: (error) => isComfyError(error, "unreachable", "busy", "protocol", "rate_limited"),
    step: () =>
      tools.comfyui.upload({
        body: file.open(),
        name: `${file.sha256}${source.extension}`,
        subfolder: UPLOAD_FOLDER,
        contentType: source.contentType,
        signal: run.signal,
      }),
  });
  await failPoint("uploaded", historyOf(run));
  return uploaded.subfolder === "" ? uploaded.name : `${uploaded.subfolder}/${uploaded.name}`;
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
