import { once } from "node:events";
import { WebSocket } from "ws";

/** A text frame as it came, or the bytes of a binary one. */
type ComfyFrame = { readonly type: string; readonly data: unknown } | Uint8Array;

/** A websocket of ComfyUI's own API, and everything it has received. */
export interface ComfyListener {
  readonly socket: WebSocket;
  readonly frames: ComfyFrame[];
  count(type: string): number;
  /** Waits until what has come is as wanted; asked again after each frame, and a few times a second. */
  until(isWanted: (frames: readonly ComfyFrame[]) => boolean): Promise<void>;
  /** A ping and its pong: what was sent before has arrived then. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

/** Opens one; its greeting has arrived when this resolves. */
export async function listenAt(
  url: string,
  clientId: string,
  flags?: Readonly<Record<string, unknown>>,
  headers: Readonly<Record<string, string>> = {},
): Promise<ComfyListener> {
  const socket = new WebSocket(`${url.replace("http", "ws")}/ws?clientId=${encodeURIComponent(clientId)}`, { headers });
  const frames: ComfyFrame[] = [];
  socket.on("message", (payload: Buffer, isBinary) => {
    frames.push(isBinary ? new Uint8Array(payload) : (JSON.parse(payload.toString()) as ComfyFrame)); // the server's own
  });
  const count = (type: string) =>
    frames.filter((frame) => !(frame instanceof Uint8Array) && frame.type === type).length;
  const until: ComfyListener["until"] = async (isWanted) => {
    while (!isWanted(frames)) {
      if (socket.readyState === WebSocket.CLOSED) throw new Error("the socket closed before that came");
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  await once(socket, "open");
  await until(() => count("status") > 0);
  if (flags) {
    socket.send(JSON.stringify({ type: "feature_flags", data: flags }));
    await until(() => count("feature_flags") > 0);
  }
  return {
    socket,
    frames,
    count,
    until,
    flush: async () => {
      const pong = once(socket, "pong");
      socket.ping();
      await pong;
    },
    close: async () => {
      const closed = once(socket, "close");
      socket.terminate();
      await closed;
    },
  };
}
