import type { OutputFile } from "@comfyq/comfyui";
import { withDeadline } from "@comfyq/runtime";
import { orAborted } from "../orAborted.ts";
import type { Tools } from "../tools.ts";
import type { AttemptRun } from "./attempt.ts";
import { withoutJobFolder } from "./filenamePrefix.ts";
import { showText } from "./showPrompt.ts";

/** Longest wait for ComfyUI's history, and for Redis. */
const KEEP_MS = 5_000;
/** A larger one stays away; what the job's own outputs tell is shown instead. */
const MOST_BYTES = 1_000_000;

/**
 * Keeps what ComfyUI's history says of the prompt, for who asks by ComfyUI's own API; called before the job ends. Does nothing for
 * a job that came in another way. Never rejects: the job itself has all that matters.
 */
export async function keepEntry(run: AttemptRun, { comfyui, log }: Tools): Promise<void> {
  const { job, promptId } = run;
  if (!job.relay || promptId === undefined) return;
  try {
    const deadline = withDeadline(undefined, KEEP_MS);
    const entry = await comfyui.history(promptId, { signal: deadline });
    if (!entry) return;
    const { outputs, status, meta } = entry;
    const files = Object.fromEntries(run.storedNames);
    const text = showText(run, { outputs, status, meta, files }, promptId);
    if (Buffer.byteLength(text) <= MOST_BYTES) await orAborted(job.keepEntry(text), deadline);
  } catch (cause) {
    log.warn({ jobId: job.id, cause }, "ComfyUI's history of a prompt could not be kept");
  }
}

/** A file by what its customer is told of it, without the job's own folder. */
export function shownPath({ type, subfolder, filename }: Pick<OutputFile, "type" | "subfolder" | "filename">): string {
  return [type, withoutJobFolder(subfolder), filename].filter((part) => part !== "").join("/");
}
