import type { OutputFile, PromptOutputs, Rendered } from "@comfyq/comfyui";
import type { Manifest, StoredFile } from "@comfyq/contract";
import { JobError } from "../jobError.ts";
import type { Tools } from "../tools.ts";
import type { AttemptRun } from "./attempt.ts";
import { shownPath } from "./keepEntry.ts";
import { nameFiles } from "./nameFiles.ts";
import { storeFile } from "./storeFile.ts";
import { storeValues } from "./storeValues.ts";

export type StoredOutputs = Manifest["outputs"];

/** Files of one job that are stored at the same time. */
const PARALLEL = 3;

/**
 * Streams every result into storage under this attempt's prefix, with size and sha256 counted on the way. Only a picture
 * that is to be converted is ever whole in memory. Results in the order of the nodes.
 * @throws JobError `output_missing` | `no_outputs` | `output_push_failed`
 */
export async function storeOutputs(run: AttemptRun, rendered: Rendered, tools: Tools): Promise<StoredOutputs> {
  const files = nameFiles(filesOf(run, rendered.outputs), run.job.head.output);
  for (const file of files) run.storedNames.set(shownPath(file), file.name);
  const { values } = rendered.outputs;
  // Who came by ComfyUI's own API is told what ComfyUI tells: such a prompt is a success.
  if (files.length + values.length === 0 && !run.job.head.prompt)
    throw new JobError("no_outputs", "ComfyUI finished, but no node returned a file or value; add a Save node");
  const stored: (StoredFile | undefined)[] = files.map(() => undefined);
  const queue = files.entries();
  const carry = async () => {
    for (const [at, file] of queue) stored[at] = await storeFile(run, file, tools);
  };
  await Promise.all(Array.from({ length: Math.min(PARALLEL, files.length) }, carry));
  const taken = new Set(
    files.flatMap(({ name, convertedName, thumbnailName }) => [name, convertedName, thumbnailName]),
  );
  return [...stored.filter((file) => file !== undefined), ...(await storeValues(run, { values, taken }, tools))];
}

/** Who came by ComfyUI's own API may ask for previews too. */
function filesOf({ job }: AttemptRun, outputs: PromptOutputs): readonly OutputFile[] {
  return job.head.prompt ? outputs.files : wantedFiles(outputs);
}

/** Saved files; previews (`temp`) only when nothing was saved, so that a graph that only previews still has a result. */
export function wantedFiles({ files }: PromptOutputs): readonly OutputFile[] {
  const saved = files.filter((file) => file.type === "output");
  return saved.length > 0 ? saved : files.filter((file) => file.type === "temp");
}
