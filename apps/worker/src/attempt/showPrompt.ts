import { FileEntry } from "@comfyq/comfyui/wire";
import type { AttemptRun } from "./attempt.ts";
import { withoutJobFolder } from "./filenamePrefix.ts";

/**
 * What ComfyUI says of a prompt, as the job's customer is told it: under the job's id, without the folder that we gave it, and
 * without secrets. A file stands in a folder named like the job, because each job has names of its own.
 */
export function showText(run: AttemptRun, said: unknown, promptId: string): string {
  const { id, epoch } = run.job;
  const text = JSON.stringify(showFiles(said, id));
  return run.secrets.scrubText(text.replaceAll(`comfyq/${id}-${epoch}/`, "").replaceAll(promptId, id));
}

function showFiles(said: unknown, jobId: string): unknown {
  if (typeof said !== "object" || said === null) return said;
  if (Array.isArray(said)) return said.map((item) => showFiles(item, jobId));
  const file = FileEntry.safeParse(said).data;
  if (file) return { ...said, subfolder: shownSubfolder(file, jobId) };
  return Object.fromEntries(Object.entries(said).map(([key, value]) => [key, showFiles(value, jobId)]));
}

function shownSubfolder({ subfolder = "" }: FileEntry, jobId: string): string {
  return [jobId, withoutJobFolder(subfolder)].filter((part) => part !== "").join("/");
}
