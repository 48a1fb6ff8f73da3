import { type ComfyUi, connectComfyUi } from "@comfyq/comfyui";
import { type Attempt, isSameInstance, mayHaveLeftPrompt } from "@comfyq/contract";
import { comfyUiAccess, isBroken, type Logger } from "@comfyq/runtime";
import { hereOf, type WorkerConfig } from "../config.ts";

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
  earlier: readonly Attempt[],
  tools: StopTools,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const own = hereOf(tools.config);
  const here = earlier.filter((attempt) => isSameInstance(attempt, own));
  // One of the same address is another machine's own, which cannot be reached from here.
  const elsewhere = earlier.filter(({ instance }) => instance !== own.instance).filter(mayHaveLeftPrompt);
  // Those that would not stop when they had to (`stop_ms` null) may still run, however their attempt ended.
  const left = here.filter((attempt) => mayHaveLeftPrompt(attempt) || attempt.stop?.stop_ms === null);
  const promptIds = left.flatMap(({ prompt_id }) => prompt_id ?? []);
  const [, ...stopped] = await Promise.all([
    // Broken for a test: what is left elsewhere goes on.
    isBroken("no_fence") ? undefined : Promise.all(elsewhere.map((attempt) => stopElsewhere(attempt, tools, signal))),
    ...promptIds.map((promptId) => stopsHere(promptId, tools, signal)),
  ]);
  return promptIds.filter((_, at) => !stopped[at]);
}

async function stopsHere(promptId: string, { comfyui, log }: StopTools, signal: AbortSignal): Promise<boolean> {
  try {
    return (await comfyui.cancel(promptId, { deadlineMs: STOP_MS, signal })).stopped;
  } catch (cause) {
    signal.throwIfAborted();
    log.warn({ promptId, cause }, "an earlier prompt could not be stopped");
    return false;
  }
}

async function stopElsewhere(
  { instance, prompt_id }: { readonly instance: string; readonly prompt_id: string },
  { config, log }: StopTools,
  signal: AbortSignal,
): Promise<void> {
  const other = connectComfyUi({ url: instance, ...comfyUiAccess(instance, config) });
  try {
    const { stopped } = await other.cancel(prompt_id, { deadlineMs: STOP_MS, signal });
    if (stopped) await other.forget(prompt_id); // whether it was stopped, or had ended: nobody goes on from it any more
  } catch (cause) {
    signal.throwIfAborted();
    log.warn({ promptId: prompt_id, cause }, "a lost worker's instance could not be reached");
  } finally {
    await other.close();
  }
}
