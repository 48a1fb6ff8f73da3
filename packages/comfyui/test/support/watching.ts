import type { ComfyUi, WatchOptions } from "../../src/index.ts";
import { FILE, PROMPT_ID, type Stage, until } from "./comfyScript.ts";

/** A signal that nobody aborts. */
export const never = new AbortController().signal;

/** Watches the usual prompt, without a stall limit unless one is given. */
export function watch(comfyui: ComfyUi, options: Partial<WatchOptions> = {}) {
  return comfyui.watch(PROMPT_ID, { signal: never, stallMs: 0, ...options });
}

/** Waits until the watch has asked for the queue, so that it is under way. */
export async function underWay({ server }: Stage): Promise<void> {
  const before = server.seen("GET", "/queue").length;
  await until(() => server.seen("GET", "/queue").length > before);
}

const at = (type: string) => ({ type, data: { prompt_id: PROMPT_ID, timestamp: 1 } });

/** Frames of the usual prompt. */
export const frames = {
  start: at("execution_start"),
  cachedNone: { type: "execution_cached", data: { nodes: [], prompt_id: PROMPT_ID, timestamp: 1 } },
  executing: (node: string | null) => ({ type: "executing", data: { node, display_node: node, prompt_id: PROMPT_ID } }),
  executed: {
    type: "executed",
    data: { node: "2", display_node: "2", output: { images: [FILE] }, prompt_id: PROMPT_ID },
  },
  success: at("execution_success"),
};
