import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";

/** A request as the server saw it. */
export interface Seen {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
  /** The body as JSON; undefined when it is none. */
  readonly json: unknown;
}

/** What is answered. `reset` drops the connection, `hang` never answers. */
export type Reply =
  | "reset"
  | "hang"
  | {
      readonly status?: number;
      readonly json?: unknown;
      readonly text?: string;
      readonly bytes?: Uint8Array;
      readonly headers?: Record<string, string>;
    };

export type Script = (request: Seen) => Reply | Promise<Reply>;

/** One WebSocket of a client, from the server's side. */
export interface ServerSocket {
  readonly clientId: string;
  readonly url: URL;
  /** Text frames that the client sent. */
  readonly received: unknown[];
  send(frame: unknown): void;
  sendRaw(frame: string | Uint8Array): void;
  /** How many pings the client has sent. */
  pings(): number;
  /** Resolves when the client has taken in everything sent so far. */
  flushed(): Promise<void>;
  /** With a close handshake. */
  close(): void;
  /** Without one. */
  terminate(): void;
  /** Stops reading, so that pings stay unanswered: a half-open connection. */
  freeze(): void;
  /** Reads on, and answers what had piled up. */
  thaw(): void;
}

export interface ServerOptions {
  /** `refuse`: the upgrade is answered with 403. `silent`: it is taken, and nothing is ever sent. */
  readonly sockets?: "greet" | "refuse" | "silent";
}

/** An HTTP and WebSocket server on loopback that does exactly what a test tells it. No product code in it. */
export class ScriptedServer implements AsyncDisposable {
  readonly requests: Seen[] = [];
  readonly sockets: ServerSocket[] = [];
  script: Script;
  socketMode: NonNullable<ServerOptions["sockets"]>;
  onSocket: (socket: ServerSocket) => void = () => {};
  #http = createServer((request, response) => void this.#serve(request, response).catch(() => response.destroy()));
  #ws = new WebSocketServer({ noServer: true });
  #live = new Set<WebSocket>();

  private constructor(script: Script, mode: NonNullable<ServerOptions["sockets"]>) {
    this.script = script;
    this.socketMode = mode;
    this.#http.on("upgrade", (request, socket, head) => {
      if (this.socketMode === "refuse") {
        socket.end("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
        return;
      }
      this.#ws.handleUpgrade(request, socket, head, (ws) => this.#adopt(ws, request));
    });
  }

  static async start(script: Script, { sockets = "greet" }: ServerOptions = {}): Promise<ScriptedServer> {
    const server = new ScriptedServer(script, sockets);
    await new Promise<void>((resolve) => server.#http.listen(0, "127.0.0.1", resolve));
    return server;
  }

  get port(): number {
    return (this.#http.address() as AddressInfo).port; // listening on TCP, so it is one
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Requests to one route, in order. */
  seen(method: string, path: string): Seen[] {
    return this.requests.filter((one) => one.method === method && one.path === path);
  }

  /** To all sockets. */
  send(frame: unknown): void {
    for (const socket of this.sockets) socket.send(frame);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const ws of this.#live) ws.terminate();
    this.#http.closeAllConnections();
    await new Promise((resolve) => this.#http.close(resolve));
  }

  #adopt(ws: WebSocket, request: IncomingMessage): void {
    const url = new URL(request.url ?? "/", this.url);
    this.#live.add(ws);
    const received: unknown[] = [];
    ws.on("message", (data: Buffer) => received.push(JSON.parse(data.toString())));
    ws.on("error", () => {});
    const clientId = url.searchParams.get("clientId") ?? "";
    const sendRaw = (frame: string | Uint8Array) => ws.readyState === ws.OPEN && ws.send(frame);
    let pings = 0;
    ws.on("ping", () => {
      pings += 1;
    });
    const socket: ServerSocket = {
      pings: () => pings,
      flushed: () =>
        new Promise((resolve) => {
          ws.once("pong", () => resolve());
          ws.ping();
        }),
      clientId,
      url,
      received,
      send: (frame) => sendRaw(JSON.stringify(frame)),
      sendRaw,
      close: () => ws.close(1000),
      terminate: () => ws.terminate(),
      freeze: () => ws.pause(),
      thaw: () => ws.resume(),
    };
    this.sockets.push(socket);
    if (this.socketMode === "greet") socket.send(status(0, clientId));
    this.onSocket(socket);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer); // no encoding is set
    const url = new URL(request.url ?? "/", this.url);
    const body = Buffer.concat(chunks);
    const query = Object.fromEntries(url.searchParams);
    const seen = {
      method: request.method ?? "",
      path: url.pathname,
      query,
      headers: request.headers,
      body,
      json: asJson(body),
    };
    this.requests.push(seen);
    const reply = await this.script(seen);
    if (reply === "hang") return;
    if (reply === "reset") {
      request.socket.resetAndDestroy();
      return;
    }
    const payload = reply.json === undefined ? (reply.bytes ?? reply.text ?? "") : JSON.stringify(reply.json);
    response.writeHead(reply.status ?? 200, reply.headers ?? {}).end(payload);
  }
}

function asJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8"));
  } catch {
    return undefined;
  }
}

/** The frame that every queue change sends to everyone; with a `sid` it is the greeting. */
export function status(queueRemaining: number, sid?: string): unknown {
  return {
    type: "status",
    data: { status: { exec_info: { queue_remaining: queueRemaining } }, ...(sid ? { sid } : {}) },
  };
}
