import { once } from "node:events";
import { type AddressInfo, createConnection, createServer, type Server, type Socket } from "node:net";

/** A line between two processes that a test can break. */
export interface TcpProxy extends AsyncDisposable {
  /** The target's address with this proxy in its place: for REDIS_URL or COMFYUI_URL. */
  readonly url: string;
  /** Nothing passes any more, in either direction, and nobody is told: connections stay open, new ones are accepted. */
  freeze(): void;
  /** Ends `freeze` and `refuse`: what was held arrives, late and in order. */
  thaw(): Promise<void>;
  /** Resets every connection; new ones work. */
  cut(): void;
  /** Resets every connection, and refuses new ones until `thaw`. */
  refuse(): Promise<void>;
  /** From now on what goes to the target arrives this much later: every round trip takes longer by it. In ms. */
  delay(ms: number): void;
  /** Connections that are open now. */
  connections(): number;
  close(): Promise<void>;
}

interface Weather {
  /** Undefined: everything passes. */
  frozen: PromiseWithResolvers<void> | undefined;
  delayMs: number;
}

/** @param target `http://host:port/…`, `redis://…host:port…`, or the path of a unix socket, where a Redis listens */
export async function startTcpProxy(target: string): Promise<TcpProxy> {
  const weather: Weather = { frozen: undefined, delayMs: 0 };
  const links = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (near) => void carry(near, dial(target), weather, links));
  const port = await listen(server, 0);
  const melt = () => {
    weather.frozen?.resolve();
    weather.frozen = undefined;
  };
  const cut = () => links.forEach(reset);
  const close = async () => {
    melt();
    cut();
    await shut(server);
  };
  return {
    url: addressAt(target, port),
    freeze: () => {
      weather.frozen ??= Promise.withResolvers();
    },
    thaw: async () => {
      melt();
      if (!server.listening) await listen(server, port);
    },
    cut,
    refuse: async () => {
      cut();
      await shut(server);
    },
    delay: (ms) => {
      weather.delayMs = ms;
    },
    connections: () => links.size / 2,
    close,
    [Symbol.asyncDispose]: close,
  };
}

function dial(target: string): Socket {
  if (target.startsWith("/")) return createConnection({ path: target, allowHalfOpen: true });
  const { hostname, port } = new URL(target);
  return createConnection({ host: hostname, port: Number(port), allowHalfOpen: true });
}

function addressAt(target: string, port: number): string {
  const url = new URL(target.startsWith("/") ? "redis://127.0.0.1" : target);
  url.hostname = "127.0.0.1";
  url.port = String(port);
  return url.href.replace(/\/$/, "");
}

/** Joins the two ends until both have ended; a reset of one resets the other. */
async function carry(near: Socket, far: Socket, weather: Weather, links: Set<Socket>): Promise<void> {
  const pair = [near, far];
  for (const socket of pair) {
    links.add(socket.setNoDelay());
    socket.on("error", () => pair.forEach(reset));
    socket.once("close", () => links.delete(socket));
  }
  await Promise.all([pump(near, far, weather, () => weather.delayMs), pump(far, near, weather, () => 0)]);
}

function reset(socket: Socket): void {
  // A unix socket cannot be reset; one that is just ending must not be: Node 24 then spins for ever when it exits.
  if (socket.remoteAddress === undefined || socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}

/** Moves bytes one way, in order, each when it is due and the way is passable. */
async function pump(from: Socket, to: Socket, weather: Weather, delayMs: () => number): Promise<void> {
  let turn = Promise.resolve();
  const inTurn = (act: () => void) => {
    const due = delayMs() > 0 ? new Promise<void>((resolve) => setTimeout(resolve, delayMs())) : undefined;
    turn = turn.then(async () => {
      if (due) await due;
      while (weather.frozen) await weather.frozen.promise;
      act();
    });
  };
  from.on("data", (chunk) => inTurn(() => void to.write(chunk)));
  from.on("end", () => inTurn(() => void to.end()));
  await once(from, "close").catch(() => {}); // a reset: both ends are gone then
}

async function listen(server: Server, port: number): Promise<number> {
  for (;;) {
    server.listen(port, "127.0.0.1");
    // A port that was given up for a while may be an outgoing connection's for a moment.
    if (await once(server, "listening").catch(() => undefined)) return (server.address() as AddressInfo).port; // TCP
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function shut(server: Server): Promise<void> {
  if (server.listening) await new Promise((resolve) => server.close(resolve));
}
