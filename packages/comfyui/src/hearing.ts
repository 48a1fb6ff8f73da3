import { type Bell, nowMs } from "./clock.ts";
import type { ComfyEvent, NodeStarted, WatchOptions } from "./face.ts";
import type { FrameRouter, PromptFrame } from "./frames.ts";
import { classOf, graphOfEntry, type PromptGraph } from "./graph.ts";
import { collectNode, outputsByNode } from "./outputs.ts";
import { applyFrame, type ProgressState, snapshot, startProgress } from "./progress.ts";
import { createSilences } from "./silences.ts";
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
  readonly stop: () => void;
}

interface Surroundings {
  readonly router: FrameRouter;
  /** Rung when the server should be asked now. */
  readonly bell: Bell;
  readonly report: (event: ComfyEvent) => void;
}

/** A frame and the reading of the clock when it came. */
interface Heard {
  readonly frame: PromptFrame;
  readonly atMs: number;
}

const HELD_FRAMES = 512;

/** Listens until `stop`. A callback that throws is reported and does no harm to the prompt. */
export function hear(promptId: string, options: WatchOptions, surroundings: Surroundings): Hearing {
  return new PromptHearing(promptId, options, surroundings);
}

class PromptHearing implements Hearing {
  readonly testimony: Testimony;
  readonly stop: () => void;
  readonly #promptId: string;
  readonly #options: WatchOptions;
  readonly #surroundings: Surroundings;
  /** Nodes whose outputs were told on. */
  readonly #announced = new Set<string>();
  /** Frames that came before we knew what the prompt consists of. */
  #held: Heard[] = [];
  readonly #silences = createSilences();
  #progress: ProgressState | undefined;
  #heardAtMs = nowMs();
  #hasEnded = false;
  #hasSucceeded = false;
  #lastStarted: string | undefined;

  constructor(promptId: string, options: WatchOptions, surroundings: Surroundings) {
    this.#promptId = promptId;
    this.#options = options;
    this.#surroundings = surroundings;
    this.testimony = createTestimony(promptId);
    this.stop = surroundings.router.listen(promptId, (frame) => this.#receive(frame));
  }

  get heardAtMs(): number {
    return this.#heardAtMs;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  get nodeAtWork(): NodeStarted | undefined {
    const node = this.#progress?.current;
    return node && this.#progress ? nodeStarted(this.#progress.graph, node.nodeId) : undefined;
  }

  know(graph: PromptGraph): void {
    if (this.#progress) return;
    this.#progress = startProgress(graph);
    for (const heard of this.#held) this.#tellOn(heard, this.#progress);
    this.#held = [];
  }

  finish(entry: HistoryEntry): void {
    this.know(graphOfEntry(entry));
    for (const outputs of outputsByNode(entry)) {
      if (!this.#announced.has(outputs.node_id)) this.#tell(this.#options.onOutput, outputs);
    }
  }

  #receive(frame: PromptFrame): void {
    const heard: Heard = { frame, atMs: nowMs() };
    this.testimony.add(frame);
    if (frame.type !== "status" && frame.type !== "gap") this.#heardAtMs = heard.atMs;
    this.#hasEnded ||= isEnd(frame);
    if (frame.type === "execution_success") this.#tellSuccess();
    if (this.#hasEnded || HURRIES.has(frame.type)) this.#surroundings.bell.ring();
    if (frame.type === "preview") {
      const { contentType, image, nodeId } = frame;
      this.#tell(this.#options.onPreview, { ...(nodeId === undefined ? {} : { node_id: nodeId }), contentType, image });
    }
    if (this.#progress) this.#tellOn(heard, this.#progress);
    else if (frame.type !== "preview") this.#held = [...this.#held, heard].slice(-HELD_FRAMES);
  }

  #tellOn({ frame, atMs }: Heard, before: ProgressState): void {
    const after = applyFrame(before, frame);
    this.#progress = after;
    this.#silences.add(frame, atMs, { before: before.current?.nodeId, after: after.current?.nodeId });
    if (frame.type === "executing" && frame.data.node !== null) {
      const nodeId = frame.data.display_node ?? frame.data.node;
      if (nodeId !== this.#lastStarted) this.#tell(this.#options.onNode, nodeStarted(after.graph, nodeId));
      this.#lastStarted = nodeId;
    }
    if (frame.type === "executed") this.#announce(frame.data.display_node ?? frame.data.node, frame.data.output);
    // TEXT frames are broadcast without a prompt id: take only what can be ours.
    if (frame.type === "node_text" && after.graph.classes.has(frame.nodeId)) {
      this.#tell(this.#options.onText, { node_id: frame.nodeId, text: frame.text });
    }
    const isNews = after.done !== before.done || after.current !== before.current;
    if (isNews) this.#tell(this.#options.onProgress, snapshot(after));
    if (after.done === before.done) return;
    for (const nodeId of after.done) if (!before.done.has(nodeId)) this.#tellSilence(nodeId, after.graph);
  }

  #tellSuccess(): void {
    if (this.#hasSucceeded) return;
    this.#hasSucceeded = true;
    this.#tell(() => this.#options.onSuccess?.(), undefined);
  }

  #tellSilence(nodeId: string, graph: PromptGraph): void {
    const longestMs = this.#silences.longestMs(nodeId);
    if (longestMs === undefined) return;
    this.#tell((node: NodeStarted) => this.#options.onSilence?.(node, longestMs), nodeStarted(graph, nodeId));
  }

  #announce(nodeId: string, output: NodeOutput | null): void {
    const outputs = collectNode(nodeId, output);
    if (this.#announced.has(nodeId) || outputs.files.length + outputs.values.length === 0) return;
    this.#announced.add(nodeId);
    this.#tell(this.#options.onOutput, outputs);
  }

  #tell<T>(callback: ((value: T) => void) | undefined, value: T): void {
    try {
      callback?.(value);
    } catch (cause) {
      this.#surroundings.report({ type: "listener_failed", promptId: this.#promptId, cause });
    }
  }
}

/** Frames after which the server should be asked. */
const HURRIES: ReadonlySet<PromptFrame["type"]> = new Set(["status", "gap", "execution_error"]);

function nodeStarted(graph: PromptGraph, nodeId: string): NodeStarted {
  return { node_id: nodeId, ...classOf(graph, nodeId) };
}

function isEnd(frame: PromptFrame): boolean {
  if (frame.type === "executing") return frame.data.node === null;
  return frame.type === "execution_success" || frame.type === "execution_interrupted";
}
