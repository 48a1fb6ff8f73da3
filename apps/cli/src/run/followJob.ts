import { Job } from "@comfyq/contract";
import { monotonicMs } from "@comfyq/runtime";
import type { ApiClient } from "../api/apiClient.ts";
import { watchEvents } from "../api/watchEvents.ts";
import { ownName } from "../config.ts";
import { createProgressView } from "./progressView.ts";

/** How following a job ended. */
export type Followed = { readonly kind: "ended"; readonly job: Job } | { readonly kind: "detached" };

/** A Ctrl-C reaches us from the terminal and from npm; later it is a second one. */
const SECOND_SIGNAL_MS = 500;

/**
 * Shows a job's progress until it ends. Ctrl-C stops the watching, not the job; a second one ends this process at once.
 * @param isShown false: waits without a word
 */
export async function followJob(
  client: ApiClient,
  jobId: string,
  { isShown }: { isShown: boolean },
): Promise<Followed> {
  const detach = new AbortController();
  const stopListening = onInterrupt(() => detach.abort(new Error("detached")));
  const view = isShown ? createProgressView(process.stderr) : undefined;
  try {
    const onCut = (waitMs: number): void => view?.say(`The line was cut; trying again in ${waitMs / 1_000} s`);
    for await (const event of watchEvents(client, jobId, { signal: detach.signal, onCut })) view?.show(event);
    return { kind: "ended", job: await readJob(client, jobId) };
  } catch (error) {
    if (detach.signal.aborted) return { kind: "detached" };
    throw error;
  } finally {
    view?.close();
    stopListening();
  }
}

/** The job as it stands. */
function readJob(client: ApiClient, jobId: string): Promise<Job> {
  return client.ask({ path: `/v1/jobs/${encodeURIComponent(jobId)}` }, Job);
}

function onInterrupt(detach: () => void): () => void {
  let firstAtMs: number | undefined;
  const hear = (): void => {
    if (firstAtMs !== undefined && monotonicMs() - firstAtMs > SECOND_SIGNAL_MS) process.exit(130);
    firstAtMs ??= monotonicMs();
    detach();
  };
  process.on("SIGINT", hear);
  return () => void process.off("SIGINT", hear);
}

/** What to tell somebody who stopped watching. */
export function detachedWords(jobId: string): string {
  return `No longer watching; the job goes on.\n  see it:     ${ownName()} watch ${jobId}\n  cancel it:  ${ownName()} cancel ${jobId}`;
}
