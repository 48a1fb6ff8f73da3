import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { WebSocketServer } from "ws";
import { CLOUD_ROUTES } from "../cloud/cloudRoutes.ts";
import type { Fault } from "../faults/Fault.ts";
import type { Simulation } from "../Simulation.ts";
import { SimulatorError } from "../SimulatorError.ts";
import { ApiRequest, BodyTooLarge } from "./ApiRequest.ts";
import { isForeignOrigin } from "./isForeignOrigin.ts";
import { empty, internalError, type Reply, text } from "./Reply.ts";
import { Router } from "./Router.ts";
import { ROUTES } from "./routes/allRoutes.ts";

/** Inbound frames above this close the connection (aiohttp's default). */
const LARGEST_FRAME = 4 * 1024 * 1024;

/** The port: HTTP and websocket, with the faults that strike requests. */
export class HttpServer {
  readonly #simulation: Simulation;
  readonly #router: Router;
  readonly #sockets = new WebSocketServer({
    noServer: true,
    maxPayload: LARGEST_FRAME,
    autoPong: false,
    perMessageDeflate: false,
  });
  /** Answers and handshakes that a fault holds back for ever. */
  readonly #hung = new Set<{ destroy(): void }>();
  #server: Server | undefined;

  constructor(simulation: Simulation) {
    this.#simulation = simulation;
    this.#router = new Router(simulation.cloud ? CLOUD_ROUTES : ROUTES);
  }

  /** Starts to listen and returns the port. @throws SimulatorError `port_taken` */
  async listen(host: string, port: number): Promise<number> {
    const server = createServer((request, response) => void this.#serve(request, response));
    server.keepAliveTimeout = 75_000; // aiohttp's
    server.on("upgrade", (request: IncomingMessage, stream: Duplex, head: Buffer) =>
      this.#upgrade(request, { stream, head }),
    );
    await new Promise<void>((resolve, reject) => {
      server.once("error", (cause) => {
        reject(
          new SimulatorError("port_taken", `${host}:${port} cannot be listened on; choose another port.`, { cause }),
        );
      });
      server.listen(port, host, resolve);
    });
    this.#server = server;
    return (server.address() as AddressInfo).port; // a TCP server's address is always of this kind
  }

  /** Stops to listen, and breaks off all connections. */
  async close(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    this.heal();
    if (!server) return;
    const closed = new Promise<void>((resolve) => {
      server.close(() => resolve());
    });
    server.closeAllConnections();
    await closed;
  }

  /** Breaks off what a fault holds back. */
  heal(): void {
    for (const response of this.#hung) response.destroy();
    this.#hung.clear();
  }

  async #serve(raw: IncomingMessage, response: ServerResponse): Promise<void> {
    const request = new ApiRequest(raw, this.#simulation.options.maxUploadBytes);
    const place = { method: request.method, path: request.barePath };
    await this.#simulation.loopIsFree();
    const before = this.#faultOf(place, "before");
    if (before && (await this.#spoil(before, request, response))) return;
    const reply = await this.#answer(request);
    const after = this.#faultOf(place, "after");
    if (after?.kind === "http_cut" || after?.kind === "http_stall") return this.#writeHalf(after, response, reply);
    if (after && (await this.#spoil(after, request, response))) return;
    await this.#write(request, response, reply);
  }

  /** The simulator's own paths are out of reach: somebody has to end a fault that strikes every path. */
  #faultOf(place: { readonly method: string; readonly path: string }, when: "before" | "after"): Fault | undefined {
    if (place.path.startsWith("/simulator/")) return undefined;
    return this.#simulation.parts.faults.strikeRequest(place, when);
  }

  async #answer(request: ApiRequest): Promise<Reply> {
    const { parts } = this.#simulation;
    if (isForeignOrigin(request.headers, parts.profile.refusesCrossSite)) return empty(403);
    const refusal = this.#simulation.cloud?.refuse(request);
    if (refusal) return refusal;
    if (request.method === "OPTIONS") return empty();
    try {
      const found = this.#router.find(request);
      if (found.kind === "refusal") return found.reply;
      parts.stats.request(`${request.method} ${found.route.path}`);
      return await found.route.handle(request, this.#simulation);
    } catch (cause) {
      if (cause instanceof BodyTooLarge) return text(cause.message, 413);
      this.#simulation.life.log.write(`Error handling request from 127.0.0.1: ${String(cause)}`);
      return internalError();
    }
  }

  /** Carries out an HTTP fault; false when the request goes on as usual afterwards. */
  async #spoil(fault: Fault, request: ApiRequest, response: ServerResponse): Promise<boolean> {
    if (fault.kind === "http_slow") {
      await this.#simulation.parts.clock.sleep(fault.ms ?? 1000);
      return false;
    }
    if (fault.kind === "http_hang") this.#hung.add(response);
    else if (fault.kind === "http_reset") request.raw.socket.resetAndDestroy();
    else await this.#write(request, response, { ...internalError(), status: fault.status ?? 500 });
    return true;
  }

  async #write(request: ApiRequest, response: ServerResponse, reply: Reply): Promise<void> {
    const { body } = reply;
    const length = body instanceof Uint8Array ? body.length : body.end - body.start;
    if (response.destroyed) return;
    response.once("finish", () => request.afterAnswer());
    const hasNoBody = reply.status === 304 || reply.status === 204;
    response.writeHead(reply.status, { ...reply.headers, ...(hasNoBody ? {} : { "Content-Length": length }) });
    if (request.method === "HEAD" || length === 0 || hasNoBody) response.end();
    else if (body instanceof Uint8Array) response.end(body);
    else {
      const file = createReadStream(body.path, { start: body.start, end: body.end - 1 });
      await pipeline(file, response).catch(() => response.destroy()); // the client has gone, or the file has
    }
    // What of the body nobody has read is thrown away, so that the client can finish sending and read the answer.
    request.raw.resume();
  }

  /** Sends the head and half of the body; then the connection ends, or nothing more comes. */
  async #writeHalf(fault: Fault, response: ServerResponse, { status, headers, body }: Reply): Promise<void> {
    const whole = body instanceof Uint8Array ? body : (await readFile(body.path)).subarray(body.start, body.end);
    response.writeHead(status, { ...headers, "Content-Length": whole.length });
    if (fault.kind === "http_stall") this.#hung.add(response);
    response.write(whole.subarray(0, Math.floor(whole.length / 2)), () => {
      if (fault.kind === "http_cut") response.destroy();
    });
  }

  #upgrade(raw: IncomingMessage, { stream, head }: { readonly stream: Duplex; readonly head: Buffer }): void {
    const request = new ApiRequest(raw, 0);
    const { parts } = this.#simulation;
    stream.on("error", () => {}); // a peer that goes away while it is refused
    const isForeign = isForeignOrigin(raw.headers, parts.profile.refusesCrossSite);
    if (parts.faults.strike("ws_hang")) {
      this.#hung.add(stream);
      return;
    }
    const status = request.barePath !== "/ws" ? 404 : isForeign ? 403 : this.#refusalOfSocket(request);
    if (status !== 101) {
      stream.end(`HTTP/1.1 ${status} Refused\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
      return;
    }
    this.#sockets.handleUpgrade(raw, stream, head, (socket) => {
      void this.#simulation.welcome(socket, request.query.get("clientId") ?? "");
    });
  }

  #refusalOfSocket(request: ApiRequest): number {
    const { cloud, parts } = this.#simulation;
    return cloud?.refuseSocket(request) ?? (parts.faults.strike("ws_refuse") ? 503 : 101);
  }
}
