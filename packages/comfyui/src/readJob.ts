import { isComfyError } from "./errors.ts";
import type { Asked } from "./readHistory.ts";
import { Job, PATHS } from "./wire/index.ts";

/** What the jobs API says of a prompt (§1.4); undefined for unknown ids. */
export async function readJob(promptId: string, { http, signal, timeoutMs }: Asked): Promise<Job | undefined> {
  try {
    const path = `${PATHS.jobs}/${encodeURIComponent(promptId)}`;
    return await http.read(Job, { method: "GET", path, signal, timeoutMs });
  } catch (error) {
    if (isComfyError(error, "not_found")) return undefined;
    throw error;
  }
}
