import { type Bell, nowMs } from "./clock.ts";
import type { ComfyEvent, NodeStarted, WatchOptions } from "./face.ts";
import type { FrameRouter, PromptFrame } from "./frames.ts";
import { classOf, graphOfEntry, type PromptGraph } from "./graph.ts";
import { collectNode, outputsByNode } from "./outputs.ts";
import { applyFrame, type ProgressState, snapshot, startProgress } from "./progress.ts";
import { createTestimony, type Testimony } from "./testimony.ts";
import type { HistoryEntry, NodeOutput } from "./wire/index.ts";

/** What one watch hears of its prompt, told on to its callbacks. */
export interface Hearing {
  /** Reading of the clock at the last sign of life of this prompt. */
  readonly heardAtMs: number;
  /** A frame said that it is over. History may still be silent for a while (§2.6). */
  readonly hasEnded: boolean;
  readonly nodeAtWork: NodeStarted | undefined;
  readonly testimony: Testimony;
  /** Says what the prompt consists of. Frames that came before are told on now. */
  know(graph: PromptGraph): void;
  /** Tells what was missed, so that every output is announced before the watch returns. */
  finish(entry: HistoryEntry): void;
  stop(): void;
}

interface Surroundings {
  readonly router: FrameRouter;
  /** Rung when the server should be asked now. */
  readonly bell: Bell;
  readonly report: (event: ComfyEvent) => void;
}

const HELD_FRAMES = 512;

/** Listens until `stop`. A callback that throws is reported and does no harm to the prompt. */
export function hear(promptId: string, options: WatchOptions, { router, bell, report }: Surroundings): Hearing {
  const testimony = createTestimony(promptId);
  const announced = new Set<string>();
  let held: PromptFrame[] = [];
  let progress: ProgressState | undefined;
  let heardAtMs = nowMs();
  let hasEnded = false;
  let lastStarted: string | undefined;

  function tell<T>(callback: ((value: T) => void) | undefined, value: T): void {
    try {
      callback?.(value);
    } catch (cause) {
      report({ type: "listener_failed", promptId, cause });
    }
  }

  function announce(nodeId: string, output: NodeOutput | null): void {
    const outputs = collectNode(nodeId, output);
    if (announced.has(nodeId) || outputs.files.length + outputs.values.length === 0) return;
    announced.add(nodeId);
    tell(options.onOutput, outputs);
  }

  function tellOn(frame: PromptFrame, before: ProgressState): void {
    const after = applyFrame(before, frame);
    progress = after;
    if (frame.type === "executing" && frame.data.node !== null) {
      const nodeId = frame.data.display_node ?? frame.data.node;
      if (nodeId !== lastStarted) tell(options.onNode, { node_id: nodeId, ...classOf(after.graph, nodeId) });
      lastStarted = nodeId;
    }
    if (frame.type === "executed") announce(frame.data.display_node ?? frame.data.node, frame.data.output);
    // TEXT frames are broadcast without a prompt id: take only what can be ours.
    if (frame.type === "node_text" && after.graph.classes.has(frame.nodeId)) {
      tell(options.onText, { node_id: frame.nodeId, text: frame.text });
    }
    if (after.done !== before.done || after.current !== before.current) tell(options.onProgress, snapshot(after));
  }

  function receive(frame: PromptFrame): void {
    testimony.add(frame);
    if (frame.type !== "status" && frame.type !== "gap") heardAtMs = nowMs();
    hasEnded ||= isEnd(frame);
    if (frame.type === "status" || frame.type === "gap" || hasEnded || frame.type === "execution_error") bell.ring();
    if (frame.type === "preview") {
      const { contentType, image, nodeId } = frame;
      tell(options.onPreview, { ...(nodeId === undefined ? {} : { node_id: nodeId }), contentType, image });
    } else if (progress) tellOn(frame, progress);
    else held = [...held, frame].slice(-HELD_FRAMES);
  }

  const stop = router.listen(promptId, receive);

  function know(graph: PromptGraph): void {
    if (progress) return;
    progress = startProgress(graph);
    for (const frame of held) tellOn(frame, progress);
    held = [];
  }

  return {
    get heardAtMs() {
      return heardAtMs;
    },
    get hasEnded() {
      return hasEnded;
    },
    get nodeAtWork() {
      const node = progress?.current;
      return node && progress ? { node_id: node.nodeId, ...classOf(progress.graph, node.nodeId) } : undefined;
    },
    testimony,
    know,
    finish(entry) {
      know(graphOfEntry(entry));
      for (const outputs of outputsByNode(entry)) if (!announced.has(outputs.node_id)) tell(options.onOutput, outputs);
    },
    stop,
  };
}

function isEnd(frame: PromptFrame): boolean {
  if (frame.type === "executing") return frame.data.node === null;
  return frame.type === "execution_success" || frame.type === "execution_interrupted";
}
