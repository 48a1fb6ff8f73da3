import { ClientHello, decodeBinaryFrame, encodeBinaryFrame } from "@comfyq/comfyui/wire";
import { every } from "@comfyq/runtime";
import type { WebSocket } from "ws";
import type { Rooms } from "../../../rooms.ts";
import { featuresOf } from "../features.ts";
import { withCloudNames } from "./frames.ts";

/** What a client has not taken: beyond the first, previews and steps are left out; beyond the second, it is cut off. */
const BEHIND_BYTES = 2_097_152;
const STUCK_BYTES = 33_554_432;
/** Between two pings; one without an answer until the next ends the connection. */
const PING_EVERY_MS = 20_000;

/** One client's websocket. */
export interface ClientSocket {
  /**
   * Sends one frame. A reader that does not keep up misses what is only of the moment. Never waits for it.
   * @param style `plain`: a preview goes without metadata, even to who asked for it
   */
  send(frame: string | Uint8Array, style?: "plain"): void;
  /**
   * Is it one of Comfy Cloud's, which hear prompts that name no client, and are told files by one name? Who says hello as ComfyUI's own
   * editor does is none, however it came.
   */
  speaksCloud(): boolean;
  onClose(act: () => void): void;
}

interface SocketFacts {
  /** It came as Comfy Cloud's clients come. */
  readonly isCloud: boolean;
}

export function createClientSocket(
  socket: WebSocket,
  rooms: Pick<Rooms, "settings">,
  { isCloud }: SocketFacts,
): ClientSocket {
  let hello: ClientHello | undefined;
  let heldPreview: Uint8Array | undefined;
  socket.once("message", (bytes: Buffer, isBinary) => {
    if (isBinary) return;
    hello = ClientHello.safeParse(parsed(bytes.toString("utf8"))).data; // only the first frame can matter (server.py)
    if (hello) write(JSON.stringify({ type: "feature_flags", data: featuresOf(rooms) }));
  });
  socket.on("error", () => socket.terminate());
  keepAlive(socket);
  const speaksCloud = () => isCloud && !hello;
  const write = (frame: string | Uint8Array) => {
    if (socket.readyState !== socket.OPEN) return;
    if (socket.bufferedAmount > STUCK_BYTES) return socket.terminate();
    if (socket.bufferedAmount > BEHIND_BYTES && isOfTheMoment(frame)) return;
    socket.send(typeof frame === "string" && speaksCloud() ? withCloudNames(frame) : frame);
  };
  return {
    send: (frame, style) => {
      const isPlain = style === "plain" || hello?.data["supports_preview_metadata"] !== true;
      if (frame instanceof Uint8Array && isPlain && hasMetadata(frame)) {
        heldPreview = frame;
        return;
      }
      // Who did not ask for metadata is sent the preview after the step that it belongs to (main.py hijack_progress).
      const preview = heldPreview;
      heldPreview = undefined;
      const isItsStep = typeof frame === "string" && frame.startsWith('{"type":"progress",');
      if (preview && !isItsStep) write(withoutMetadata(preview));
      write(frame);
      if (preview && isItsStep) write(withoutMetadata(preview));
    },
    speaksCloud,
    onClose: (act) => {
      socket.once("close", act);
      if (socket.readyState === socket.CLOSED) act();
    },
  };
}

function isOfTheMoment(frame: string | Uint8Array): boolean {
  return typeof frame !== "string" || frame.startsWith('{"type":"progress') || frame.startsWith('{"type":"status"');
}

function hasMetadata(bytes: Uint8Array): boolean {
  return decodeBinaryFrame(bytes).kind === "preview_with_metadata";
}

function withoutMetadata(bytes: Uint8Array): Uint8Array {
  const frame = decodeBinaryFrame(bytes);
  if (frame.kind !== "preview_with_metadata") return bytes;
  const contentType = frame.metadata.image_type === "image/png" ? "image/png" : "image/jpeg";
  return encodeBinaryFrame({ kind: "preview", contentType, image: frame.image });
}

function keepAlive(socket: WebSocket): void {
  const closed = new AbortController();
  let isAlive = true;
  socket.on("pong", () => {
    isAlive = true;
  });
  socket.once("close", () => closed.abort());
  const ping = () => {
    if (!isAlive) return socket.terminate();
    isAlive = false;
    socket.ping();
  };
  void every(PING_EVERY_MS, ping, { signal: closed.signal, onError: () => socket.terminate(), unref: true });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
