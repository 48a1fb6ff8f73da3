import type { QueuedPrompt } from "./face.ts";
import type { PromptFrame } from "./frames.ts";
import type { HistoryEntry, HistoryMessage, NodeOutput } from "./wire/index.ts";

/**
 * What the frames alone prove about how a prompt ended. History decides; this speaks only when somebody cleared the
 * history before we could read it, so that a rendered prompt is not rendered again.
 */
export interface Testimony {
  add(frame: PromptFrame): void;
  /**
   * An entry as history would have had it; undefined unless the end was heard (and for a success, all of it).
   * @param item the prompt as the queue last showed it
   */
  entry(item: QueuedPrompt | undefined): HistoryEntry | undefined;
}

/** Nothing heard yet. */
export function createTestimony(promptId: string): Testimony {
  const outputs: Record<string, NodeOutput | null> = {};
  const messages: HistoryMessage[] = [];
  let hasGap = false;
  let end: "success" | "error" | undefined;

  return {
    add(frame) {
      if (frame.type === "gap") hasGap = true;
      if (frame.type === "executed" && frame.data.output) outputs[frame.data.node] = frame.data.output;
      if (!isMessage(frame)) return;
      messages.push([frame.type, frame.data]);
      // The error of an execution blocker ends nothing (§2.6).
      if (frame.type === "execution_success") end = "success";
      else if (frame.type === "execution_interrupted") end = "error";
      else if (frame.type === "execution_error" && frame.data.exception_type !== "ExecutionBlocked") end = "error";
    },
    entry(item) {
      const isWhole = !hasGap && messages[0]?.[0] === "execution_start";
      if (end === undefined || (end === "success" && !isWhole)) return undefined;
      const told = messages.filter(([type]) => end === "error" || type !== "execution_error");
      const status = { status_str: end, completed: end === "success", messages: told };
      // Without extra data: older queues show secrets there, histories do not (§0.1).
      const prompt: HistoryEntry["prompt"] = item
        ? [item.number, promptId, item.workflow, {}, [...item.outputNodeIds]]
        : { prompt_id: promptId };
      return { prompt, outputs, status };
    },
  };
}

type Message = Extract<
  PromptFrame,
  { type: "execution_start" | "execution_cached" | "execution_success" | "execution_error" | "execution_interrupted" }
>;

function isMessage(frame: PromptFrame): frame is Message {
  return MESSAGES.has(frame.type);
}

const MESSAGES: ReadonlySet<string> = new Set([
  "execution_start",
  "execution_cached",
  "execution_success",
  "execution_error",
  "execution_interrupted",
]);
