import { type BinaryFrame, encodeBinaryFrame, isObject, PythonError } from "@comfyq/comfyui/wire";
import { WebSocket } from "ws";
import type { FrameSink } from "../engine/EngineParts.ts";
import { toJson } from "./toJson.ts";

/** One open websocket. */
interface Peer {
  readonly socket: WebSocket;
  readonly sid: string;
  /** Half open: nothing is sent any more, not even pongs. */
  isSilent: boolean;
}

/** Something that happens in the order of the frames: so that a fault strikes after the frames before it. */
type Outgoing =
  | { readonly kind: "frame"; readonly payload: string | Uint8Array; readonly to: unknown }
  | { readonly kind: "act"; readonly act: () => void };

/** What a new socket is told. */
export interface Greeting {
  readonly status: unknown;
  /** The node that runs now, when this client's prompt is running. */
  readonly node: string | undefined;
  /** What the server answers to a client's feature flags. */
  readonly features: unknown;
}

/**
 * ComfyUI's table of websockets, faults included (server.py websocket_handler, publish_loop;
 * reference/comfyui-protocol.md §2.1–2.3): a second socket with the same id takes over at once, the first one's end
 * mutes it, and all frames go out one after the other, so that one client who does not read stops everybody's frames.
 */
export class SocketHub implements FrameSink {
  readonly #bySid = new Map<string, Peer>();
  readonly #flags = new Map<string, unknown>();
  readonly #open = new Set<Peer>();
  #queue: Outgoing[] = [];
  #isPumping = false;
  #isStopped = false;

  readonly send = (type: string, data: unknown, to?: unknown): void => {
    this.#enqueue({ kind: "frame", payload: toJson({ type, data }), to });
  };

  readonly sendBinary = (frame: BinaryFrame, to?: unknown): void => {
    this.#enqueue({ kind: "frame", payload: encodeBinaryFrame(frame), to });
  };

  readonly hasListener = (to: unknown): boolean => this.#addressees(to).length > 0;

  /** @throws PythonError when the client sent something else than an object as its flags */
  readonly knowsPreviewMetadata = (clientId: unknown): boolean => {
    const flags = typeof clientId === "string" ? (this.#flags.get(clientId) ?? {}) : {};
    if (!isObject(flags)) {
      throw new PythonError("AttributeError", `'${typeof flags}' object has no attribute 'get'`);
    }
    return flags["supports_preview_metadata"] === true;
  };

  /** Takes a new socket in. Its first frames overtake what is still waiting to be sent. */
  async welcome(socket: WebSocket, sid: string, greeting: Greeting): Promise<void> {
    const peer: Peer = { socket, sid, isSilent: false };
    this.#open.add(peer);
    this.#bySid.set(sid, peer);
    this.#flags.set(sid, {});
    socket.on("error", () => {}); // a close follows, which is what counts
    socket.on("close", () => this.#forget(peer));
    socket.on("ping", (payload: Buffer) => {
      if (!peer.isSilent) socket.pong(payload);
    });
    this.#listenForFlags(peer, greeting.features);
    await sendTo(peer, toJson({ type: "status", data: { ...Object(greeting.status), sid } }));
    if (greeting.node !== undefined) await sendTo(peer, toJson({ type: "executing", data: { node: greeting.node } }));
  }

  /** Closes the sockets of one client (all when undefined) without a closing handshake, after what was sent before. */
  drop(clientId: unknown): void {
    this.#act(() => {
      for (const peer of this.#peersOf(clientId)) peer.socket.terminate();
    });
  }

  /** From here on these sockets stay open and say nothing. */
  silence(clientId: unknown): void {
    this.#act(() => {
      for (const peer of this.#peersOf(clientId)) peer.isSilent = true;
    });
  }

  /** From here on these sockets get nothing but pongs: the table of clients has forgotten them. */
  mute(clientId: unknown): void {
    this.#act(() => {
      for (const peer of this.#peersOf(clientId)) if (this.#bySid.get(peer.sid) === peer) this.#bySid.delete(peer.sid);
    });
  }

  /** From here on nobody gets frames, while pings are still answered. */
  stop(): void {
    this.#act(() => {
      this.#isStopped = true;
    });
  }

  /** Undoes {@link silence}, {@link mute} and {@link stop}; frames that have waited go out now. */
  heal(): void {
    for (const peer of this.#open) {
      peer.isSilent = false;
      if (!this.#bySid.has(peer.sid)) this.#bySid.set(peer.sid, peer);
    }
    this.#isStopped = false;
    void this.#pump();
  }

  /** Ends all sockets and forgets what has not been sent. */
  dropAll(): void {
    this.#queue = [];
    this.#isStopped = false;
    for (const peer of this.#open) peer.socket.terminate();
  }

  #act(act: () => void): void {
    this.#enqueue({ kind: "act", act });
  }

  #peersOf(clientId: unknown): Peer[] {
    return [...this.#open].filter((peer) => clientId === undefined || peer.sid === clientId);
  }

  /** The bug: whoever closes takes the id off the table, even when it belongs to another socket by now. */
  #forget(peer: Peer): void {
    this.#open.delete(peer);
    this.#bySid.delete(peer.sid);
    this.#flags.delete(peer.sid);
  }

  /** Only a client's first frame can matter; one that is not JSON, or not an object, does not count as first. */
  #listenForFlags(peer: Peer, features: unknown): void {
    let isFirst = true;
    peer.socket.on("message", (payload, isBinary) => {
      if (isBinary || !isFirst || !Buffer.isBuffer(payload)) return;
      const message = parsed(payload);
      if (!isObject(message)) return;
      isFirst = false;
      if (message["type"] !== "feature_flags") return;
      this.#flags.set(peer.sid, message["data"] ?? {});
      const owner = this.#bySid.get(peer.sid);
      if (owner) void sendTo(owner, toJson({ type: "feature_flags", data: features }));
    });
  }

  #enqueue(outgoing: Outgoing): void {
    this.#queue.push(outgoing);
    void this.#pump();
  }

  async #pump(): Promise<void> {
    if (this.#isPumping) return;
    this.#isPumping = true;
    while (!this.#isStopped) {
      const next = this.#queue.shift();
      if (!next) break;
      if (next.kind === "act") next.act();
      else for (const peer of this.#addressees(next.to)) await sendTo(peer, next.payload);
    }
    this.#isPumping = false;
  }

  #addressees(to: unknown): Peer[] {
    if (to === undefined) return [...this.#bySid.values()];
    const peer = typeof to === "string" ? this.#bySid.get(to) : undefined;
    return peer ? [peer] : [];
  }
}

function parsed(payload: Buffer): unknown {
  try {
    return JSON.parse(payload.toString("utf8"));
  } catch {
    return undefined;
  }
}

/** Resolves when the bytes have gone to the kernel: that is what a client who does not read holds up. */
async function sendTo(peer: Peer, payload: string | Uint8Array): Promise<void> {
  if (peer.isSilent || peer.socket.readyState !== WebSocket.OPEN) return;
  await new Promise<void>((resolve) => {
    peer.socket.send(payload, () => resolve());
  });
}
