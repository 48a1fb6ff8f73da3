import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { every, type Logger } from "@comfyq/runtime";
import { createApp } from "./app.ts";
import { createAuthenticator } from "./auth/authenticate.ts";
import type { ApiSettings } from "./config.ts";
import { openSocketDoor } from "./facade/comfyui/socket/openSocketDoor.ts";
import { openRooms } from "./openRooms.ts";

/** Long enough for a large upload over a slow line. */
const REQUEST_TIMEOUT_MS = 3_600_000;
/** Longer than the proxies in front keep a connection, or they would use one that is just being closed. */
const KEEP_ALIVE_MS = 65_000;
/** How often a stopping API looks for connections that nobody uses any more. */
const IDLE_LOOK_MS = 50;

/** An API that listens. */
export interface RunningApi {
  /** Address it listens on, without a slash at the end. */
  readonly url: string;
  /** Ends streams and waits, lets requests under way finish, then closes everything. */
  close(signal?: AbortSignal): Promise<void>;
}

/**
 * Starts the API in this process.
 * @throws Error when it would be open to others without a key, the port is taken, or the keys file is broken; QueueError
 * when Redis is away or can lose jobs
 */
export async function startApi(settings: ApiSettings, logger: Logger): Promise<RunningApi> {
  const closing = new AbortController();
  const rooms = await openRooms(settings, logger, closing.signal);
  const closeRooms = async () => {
    await rooms.producer.close();
    await rooms.storage.close();
  };
  try {
    const timeouts = { requestTimeout: REQUEST_TIMEOUT_MS, keepAliveTimeout: KEEP_ALIVE_MS };
    const door = createAuthenticator(rooms);
    const server = createServer(timeouts, await createApp(rooms, door));
    openSocketDoor(server, rooms, door);
    const url = await listen(server, settings);
    return {
      url,
      close: async (signal) => {
        closing.abort();
        await closeServer(server, signal);
        await closeRooms();
      },
    };
  } catch (error) {
    await closeRooms();
    throw error;
  }
}

async function listen(server: Server, { COMFYQ_HOST: host, COMFYQ_PORT: port }: ApiSettings): Promise<string> {
  server.listen(port, host.replace(/^\[(.*)\]$/, "$1"));
  try {
    await once(server, "listening");
  } catch (cause) {
    throw new Error(`Cannot listen on ${host}:${port}; is another process using it? COMFYQ_PORT names another one`, {
      cause,
    });
  }
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("a TCP server has a host and a port");
  const shown = address.family === "IPv6" ? `[${address.address}]` : address.address;
  return `http://${shown}:${address.port}`;
}

/** Waits for the requests under way, or cuts them when the signal aborts. */
async function closeServer(server: Server, signal: AbortSignal | undefined): Promise<void> {
  const closed = new AbortController();
  const ended = new Promise<void>((resolve) => server.close(() => resolve())).then(() => closed.abort());
  const cut = () => server.closeAllConnections();
  signal?.addEventListener("abort", cut, { once: true });
  if (signal?.aborted) cut();
  // A connection whose last answer ends from now on would be kept open for its next request, which is not to come.
  const closeIdle = () => server.closeIdleConnections();
  await Promise.all([ended, every(IDLE_LOOK_MS, closeIdle, { signal: closed.signal, onError: closeIdle })]);
  signal?.removeEventListener("abort", cut);
}
