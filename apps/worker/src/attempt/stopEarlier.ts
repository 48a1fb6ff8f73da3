import { type ComfyUi, connectComfyUi } from "@comfyq/comfyui";
import { type Attempt, isSameInstance, mayHaveLeftPrompt } from "@comfyq/contract";
import { comfyUiAccess, isBroken, type Logger } from "@comfyq/runtime";
import { hereOf, type WorkerConfig } from "../config.ts";
import { realPromptId, type SentPrompt } from "./realPromptId.ts";

/** How long an instance is asked to stop a prompt of an earlier attempt. */
const STOP_MS = 5_000;

interface StopTools {
  readonly comfyui: ComfyUi;
  readonly config: WorkerConfig;
  readonly log: Logger;
}

/**
 * Stops what earlier attempts at a job left running, where it can be reached: it only burns a GPU. Never rejects, but for
 * the signal.
 * @returns prompts of this worker's own instance that did not stop
 * @throws the signal's reason
 */
export async function stopEarlier(
  { id: jobId, earlier }: { readonly id: string; readonly earlier: readonly Attempt[] },
  tools: StopTools,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const own = hereOf(tools.config);
  const here = earlier.filter((attempt) => isSameInstance(attempt, own));
  // One of the same address is another machine's own, which cannot be reached from here.
  const elsewhere = earlier.filter(({ instance }) => instance !== own.instance).filter(mayHaveLeftPrompt);
  // Those that would not stop when they had to (`stop_ms` null) may still run, however their attempt ended.
  const left = here.filter((attempt) => mayHaveLeftPrompt(attempt) || attempt.stop?.stop_ms === null);
  const sent = left.flatMap(({ prompt_id: promptId, epoch }) => (promptId === null ? [] : { jobId, epoch, promptId }));
  const [, ...stopped] = await Promise.all([
    // Broken for a test: what is left elsewhere goes on.
    isBroken("no_fence")
      ? undefined
      : Promise.all(
          elsewhere.map(({ instance, epoch, prompt_id: promptId }) =>
            stopElsewhere({ instance, jobId, epoch, promptId }, tools, signal),
          ),
        ),
    ...sent.map((prompt) => stopsHere(prompt, tools, signal)),
  ]);
  return sent.filter((_, at) => !stopped[at]).map(({ promptId }) => promptId);
}

async function stopsHere(sent: SentPrompt, { comfyui, config, log }: StopTools, signal: AbortSignal): Promise<boolean> {
  try {
    const promptId = config.isCloud ? await realPromptId(comfyui, sent, signal) : sent.promptId;
    return (await comfyui.cancel(promptId, { deadlineMs: STOP_MS, signal })).stopped;
  } catch (cause) {
    signal.throwIfAborted();
    log.warn({ promptId: sent.promptId, cause }, "an earlier prompt could not be stopped");
    return false;
  }
}

async function stopElsewhere(
  { instance, ...sent }: SentPrompt & { readonly instance: string },
  { config, log }: StopTools,
  signal: AbortSignal,
): Promise<void> {
  const access = comfyUiAccess(instance, config);
  const other = connectComfyUi({ url: instance, ...access });
  try {
    const promptId = access.dialect === "cloud" ? await realPromptId(other, sent, signal) : sent.promptId;
    const { stopped } = await other.cancel(promptId, { deadlineMs: STOP_MS, signal });
    if (stopped) await other.forget(promptId); // whether it was stopped, or had ended: nobody goes on from it any more
  } catch (cause) {
    signal.throwIfAborted();
    log.warn({ promptId: sent.promptId, cause }, "a lost worker's instance could not be reached");
  } finally {
    await other.close();
  }
}
