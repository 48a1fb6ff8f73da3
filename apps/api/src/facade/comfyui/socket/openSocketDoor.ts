import { randomUUID } from "node:crypto";
import type { IncomingMessage, Server } from "node:http";
import type { Duplex } from "node:stream";
import { sleep } from "@comfyq/runtime";
import { WebSocketServer } from "ws";
import { type Authenticator, type Caller, demandScope, shownKey } from "../../../auth/authenticate.ts";
import { refuseForeignHost, refuseForeignPage } from "../../../auth/loopback.ts";
import { ApiError, toApiError } from "../../../errors.ts";
import type { Rooms } from "../../../rooms.ts";
import { COMFYUI_DOOR } from "../comfyUiDoor.ts";
import { createClientSocket } from "./clientSocket.ts";
import { createSocketHub, type SocketHub } from "./socketHub.ts";

/** As ComfyUI's own server takes. */
const MOST_INBOUND_BYTES = 4_194_304;
const LONGEST_CLIENT_ID = 256;
/** Told to clients when the API stops. */
const GOING_AWAY = 1001;
/** Who does not answer the farewell by then is cut off. */
const FAREWELL_MS = 1_000;

/**
 * Takes websockets at `/ws` and `/api/ws`. The key comes in a header, or as `?token=`, as Comfy Cloud's clients send it: a browser can
 * give a websocket no headers. Nothing of a query is ever logged.
 */
export function openSocketDoor(server: Server, rooms: Rooms, door: Authenticator): void {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: MOST_INBOUND_BYTES, perMessageDeflate: false });
  const hub = createSocketHub(rooms);
  server.on("upgrade", (req: IncomingMessage, stream: Duplex, head: Buffer) => {
    stream.on("error", () => stream.destroy());
    const url = URL.parse(req.url ?? "", "http://localhost");
    if (!url || !/^(?:\/api)?\/ws$/.test(url.pathname))
      return refuse(stream, new ApiError("not_found", "Websockets are taken at /ws only"));
    admit(req, url, { rooms, door, hub }).then(
      (caller) =>
        sockets.handleUpgrade(req, stream, head, (socket) => {
          const clientId = url.searchParams.get("clientId") || randomUUID().replaceAll("-", "");
          const isCloud = url.searchParams.has("token");
          void hub.take(createClientSocket(socket, rooms, { isCloud }), { tenant: caller.tenant, clientId });
        }),
      (error: unknown) => refuse(stream, toApiError(error)),
    );
  });
  rooms.closing.addEventListener("abort", () => {
    for (const socket of sockets.clients) socket.close(GOING_AWAY, "the server stops");
    const cut = () => {
      for (const socket of sockets.clients) socket.terminate();
    };
    void sleep(FAREWELL_MS).then(cut);
  });
}

interface SocketDoor {
  readonly rooms: Rooms;
  readonly door: Authenticator;
  readonly hub: SocketHub;
}

/** @throws ApiError when this client may not listen */
async function admit(req: IncomingMessage, url: URL, { rooms, door, hub }: SocketDoor): Promise<Caller> {
  const { keys, settings, closing } = rooms;
  if (closing.aborted) throw new ApiError("unavailable", "This server stops; connect again in a moment");
  if (!keys.isRequired()) {
    refuseForeignHost(req, settings.COMFYQ_PUBLIC_URL);
    refuseForeignPage(req); // no same-origin rule keeps a page from reading a websocket
  }
  const caller = await door.authenticate(req, shownKey(req) ?? url.searchParams.get("token") ?? undefined);
  demandScope(caller, "read");
  if ((url.searchParams.get("clientId") ?? "").length > LONGEST_CLIENT_ID)
    throw new ApiError("invalid_request", `clientId has more than ${LONGEST_CLIENT_ID} characters; use a uuid`);
  if (hub.count() >= settings.COMFYQ_MAX_STREAMS)
    throw new ApiError("too_many_streams", "As many websockets are open as this server takes; poll /history meanwhile");
  return caller;
}

function refuse(stream: Duplex, error: ApiError): void {
  const { status, body } = COMFYUI_DOOR.showError(error);
  const text = JSON.stringify(body);
  const lines = [
    `HTTP/1.1 ${status} Refused`,
    "Content-Type: application/json; charset=utf-8",
    `Content-Length: ${Buffer.byteLength(text)}`,
    "Connection: close",
    ...Object.entries(error.headers).map(([name, value]) => `${name}: ${value}`),
  ];
  stream.end(`${lines.join("\r\n")}\r\n\r\n${text}`);
}
