import type { ComfyUi } from "@comfyq/comfyui";
import { type Logger, sleep, withDeadline } from "@comfyq/runtime";
import type { WorkerConfig } from "../config.ts";
import { runRestartCommand } from "./restartCommand.ts";

const LOOK_EVERY_MS = 250;
const REACHABLE_MS = 2_000;

interface RestartOptions {
  readonly command: string;
  readonly config: Pick<WorkerConfig, "COMFYQ_RESTART_S" | "restartEnv">;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/**
 * Runs the operator's command and waits until ComfyUI answers again, both within COMFYQ_RESTART_S.
 * @returns whether it answers
 * @throws the signal's reason
 */
export async function restartInstance(comfyui: ComfyUi, options: RestartOptions): Promise<boolean> {
  const { command, config, log, signal } = options;
  const withinMs = config.COMFYQ_RESTART_S * 1_000;
  const deadline = withDeadline(signal, withinMs);
  const { code, output } = await runRestartCommand(command, { env: config.restartEnv, withinMs, signal });
  log.warn({ exitCode: code, output }, "restart command has run");
  while (!deadline.aborted) {
    if (await comfyui.isReachable({ signal, withinMs: REACHABLE_MS })) return true;
    await sleep(LOOK_EVERY_MS, deadline).catch(() => signal.throwIfAborted());
  }
  return false;
}
