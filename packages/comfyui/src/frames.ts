import { type BinaryFrame, decodeBinaryFrame, type KnownTextFrame, parseTextFrame } from "./wire/index.ts";

/** A frame of one prompt, or news that concern every prompt. */
export type PromptFrame =
  | KnownTextFrame
  | {
      readonly type: "preview";
      readonly contentType: string;
      readonly image: Uint8Array;
      readonly nodeId?: string;
      /** The frame as it came. */
      readonly bytes: Uint8Array;
    }
  | { readonly type: "node_text"; readonly nodeId: string; readonly text: string; readonly bytes: Uint8Array }
  /** The socket was lost or has come back: frames were missed, ask the server. */
  | { readonly type: "gap" };

type FrameListener = (frame: PromptFrame) => void;

/** Sorts the frames of one socket by prompt. */
export interface FrameRouter {
  onText(text: string): void;
  onBinary(bytes: Uint8Array): void;
  onGap(): void;
  /** Hears one prompt, from its first frame: frames may precede the answer to the submission. Returns the way out. */
  listen(promptId: string, listener: FrameListener): () => void;
  /** The same for who only looks on: nothing is kept back from `listen`. */
  overhear(promptId: string, listener: FrameListener): () => void;
  /** The node that was at work when this prompt was last heard of. */
  lastNodeOf(promptId: string): string | undefined;
  /** How many `status` frames have come so far. */
  readonly statusCount: number;
}

const REMEMBERED_PROMPTS = 64;
const KEPT_FRAMES = 256;

interface Mailbox {
  readonly listeners: Set<FrameListener>;
  readonly onlookers: Set<FrameListener>;
  /** Frames that came while nobody listened, oldest first; without those that are only of the moment. */
  kept: PromptFrame[];
  lastNode: string | undefined;
}

/** On Comfy Cloud all sockets of a user get all frames, so a frame without a prompt id belongs to nobody (§6.1). */
export function createFrameRouter(isCloud: boolean): FrameRouter {
  return new MailboxRouter(isCloud);
}

class MailboxRouter implements FrameRouter {
  readonly #isCloud: boolean;
  readonly #mailboxes = new Map<string, Mailbox>();
  #activePromptId: string | undefined;
  #statusCount = 0;

  constructor(isCloud: boolean) {
    this.#isCloud = isCloud;
  }

  get statusCount(): number {
    return this.#statusCount;
  }

  lastNodeOf(promptId: string): string | undefined {
    return this.#mailboxes.get(promptId)?.lastNode;
  }

  onText(text: string): void {
    const frame = parseTextFrame(text);
    if (frame.type === "unknown") return; // custom nodes send their own
    if (frame.type === "status") {
      this.#statusCount += 1;
      this.#broadcast(frame);
      return;
    }
    const promptId = promptIdOf(frame);
    if (promptId === undefined) return;
    this.#activePromptId = isEnd(frame) ? undefined : promptId;
    this.#deliver(promptId, frame);
  }

  onBinary(bytes: Uint8Array): void {
    const frame = decodeBinaryFrame(bytes);
    const known = fromBinary(frame, bytes);
    const unaddressed = this.#isCloud ? undefined : this.#activePromptId;
    const promptId = frame.kind === "preview_with_metadata" ? frame.metadata.prompt_id : unaddressed;
    if (known && promptId !== undefined) this.#deliver(promptId, known);
  }

  onGap(): void {
    this.#broadcast({ type: "gap" });
  }

  listen(promptId: string, listener: FrameListener): () => void {
    const mailbox = this.#mailboxOf(promptId);
    mailbox.listeners.add(listener);
    const missed = mailbox.kept;
    mailbox.kept = [];
    for (const frame of missed) listener(frame);
    return () => mailbox.listeners.delete(listener);
  }

  overhear(promptId: string, listener: FrameListener): () => void {
    const mailbox = this.#mailboxOf(promptId);
    mailbox.onlookers.add(listener);
    for (const frame of mailbox.kept) listener(frame);
    return () => mailbox.onlookers.delete(listener);
  }

  #deliver(promptId: string, frame: PromptFrame): void {
    const mailbox = this.#mailboxOf(promptId);
    mailbox.lastNode = nodeAtWork(frame) ?? mailbox.lastNode;
    put(frame, mailbox);
  }

  #broadcast(frame: PromptFrame): void {
    for (const mailbox of this.#mailboxes.values()) put(frame, mailbox);
  }

  #mailboxOf(promptId: string): Mailbox {
    const mailbox = this.#mailboxes.get(promptId) ?? newMailbox();
    this.#mailboxes.delete(promptId); // put last: the oldest unheard one goes first
    this.#mailboxes.set(promptId, mailbox);
    for (const [id, old] of this.#mailboxes) {
      if (this.#mailboxes.size <= REMEMBERED_PROMPTS) break;
      if (old.listeners.size + old.onlookers.size === 0 && id !== promptId) this.#mailboxes.delete(id);
    }
    return mailbox;
  }
}

function newMailbox(): Mailbox {
  return { listeners: new Set(), onlookers: new Set(), kept: [], lastNode: undefined };
}

function put(frame: PromptFrame, mailbox: Mailbox): void {
  const isWorthKeeping = frame.type !== "preview" && frame.type !== "status";
  if (mailbox.listeners.size === 0 && isWorthKeeping) mailbox.kept = [...mailbox.kept, frame].slice(-KEPT_FRAMES);
  for (const listener of [...mailbox.onlookers, ...mailbox.listeners]) listener(frame);
}

function promptIdOf(frame: KnownTextFrame): string | undefined {
  const data: unknown = frame.data;
  if (typeof data !== "object" || data === null || !("prompt_id" in data)) return undefined;
  return typeof data.prompt_id === "string" ? data.prompt_id : undefined;
}

function isEnd(frame: KnownTextFrame): boolean {
  return frame.type === "executing" && frame.data.node === null;
}

function nodeAtWork(frame: PromptFrame): string | undefined {
  if (frame.type === "executing") return frame.data.node ?? undefined;
  return frame.type === "progress" ? (frame.data.node ?? undefined) : undefined;
}

function fromBinary(frame: BinaryFrame, bytes: Uint8Array): PromptFrame | undefined {
  switch (frame.kind) {
    case "preview":
      return { type: "preview", contentType: frame.contentType, image: frame.image, bytes };
    case "preview_with_metadata": {
      const { image_type, display_node_id, node_id } = frame.metadata;
      return {
        type: "preview",
        contentType: image_type,
        image: frame.image,
        nodeId: display_node_id ?? node_id,
        bytes,
      };
    }
    case "text":
      return { type: "node_text", nodeId: frame.nodeId, text: frame.text, bytes };
    case "unknown":
      return undefined;
  }
}
