import type { Workflow } from "@comfyq/contract";
import type { HeldJob } from "@comfyq/queue";
import { isBroken } from "@comfyq/runtime";

const OUR_FOLDER = "comfyq";
const JOB_FOLDER = /^[0-9a-f-]{36}-\d+$/;

/**
 * Gives every save node of the graph a folder of this attempt's own, so that jobs with the same graph, instances that share
 * a folder and ComfyUI's cache of old file names can never mix files (promise I5).
 */
export function withJobFolder(workflow: Workflow, job: Pick<HeldJob, "id" | "epoch">): Workflow {
  const copy = structuredClone(workflow);
  if (isBroken("shared_output_folder")) return copy; // for a test: all attempts save in one place
  for (const node of Object.values(copy)) {
    const prefix = literalOf(node.inputs["filename_prefix"], copy);
    if (prefix !== undefined) node.inputs["filename_prefix"] = `${jobFolderOf(job)}${prefix}`;
  }
  return copy;
}

/** The folder that this attempt's save nodes were given, with a slash at its end. */
export function jobFolderOf(job: Pick<HeldJob, "id" | "epoch">): string {
  return `${OUR_FOLDER}/${job.id}-${job.epoch}/`;
}

/** Whose folder a prefix begins with; undefined when it is none of ours. */
export function jobFolderIn(prefix: string): { readonly jobId: string; readonly epoch: number } | undefined {
  const [folder, job = ""] = prefix.split("/");
  if (folder !== OUR_FOLDER || !JOB_FOLDER.test(job)) return undefined;
  const cut = job.lastIndexOf("-");
  return { jobId: job.slice(0, cut), epoch: Number(job.slice(cut + 1)) };
}

/** Nodes that only hold a text; a prefix that comes from one is as good as written at the save node. */
const TEXT_NODES = ["PrimitiveString", "PrimitiveStringMultiline"];

/** The text itself; undefined when only ComfyUI will know it. */
function literalOf(prefix: unknown, workflow: Workflow): string | undefined {
  if (typeof prefix === "string") return prefix;
  const source = Array.isArray(prefix) && typeof prefix[0] === "string" ? workflow[prefix[0]] : undefined;
  const value = source && TEXT_NODES.includes(source.class_type) ? source.inputs["value"] : undefined;
  return typeof value === "string" ? value : undefined;
}

/** Takes that folder off a subfolder again: what is left is the customer's own. */
export function withoutJobFolder(subfolder: string): string {
  const parts = subfolder.split(/[\\/]/);
  if (parts[0] === OUR_FOLDER) return parts.slice(2).join("/");
  // Behind another comfyq it stands in a folder of that one's.
  const at = parts.findIndex((part, index) => part === OUR_FOLDER && JOB_FOLDER.test(parts[index + 1] ?? ""));
  return (at < 0 ? parts : parts.slice(at + 2)).join("/");
}

/** Was it saved for this job, by whichever attempt? Then no other instance's folder has a file of that name. */
export function isInJobFolder(subfolder: string, jobId: string): boolean {
  const [first, second = ""] = subfolder.split(/[\\/]/);
  return first === OUR_FOLDER && second.startsWith(`${jobId}-`);
}
