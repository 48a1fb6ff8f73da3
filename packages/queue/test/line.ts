import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

/** A line between one process and its Redis, which can freeze: connections stay open, and nothing passes. */
export interface Line extends AsyncDisposable {
  /** What to connect to instead of Redis. */
  readonly url: string;
  freeze(): void;
  thaw(): void;
}

/** @param redisSocket path of Redis's unix socket */
export async function openLine(redisSocket: string): Promise<Line> {
  const url = `${redisSocket}-line-${Math.random().toString(36).slice(2)}`;
  const sockets = new Set<Socket>();
  let isFrozen = false;
  const join = (one: Socket, other: Socket) => {
    sockets.add(one);
    one.on("data", (bytes) => {
      if (!other.write(bytes)) one.pause();
    });
    other.on("drain", () => {
      if (!isFrozen) one.resume();
    });
    for (const event of ["close", "error"]) one.on(event, () => other.destroy());
    one.on("close", () => sockets.delete(one));
    if (isFrozen) one.pause();
  };
  const server = createServer((client) => {
    const redis = connect(redisSocket);
    join(client, redis);
    join(redis, client);
  });
  await once(server.listen(url), "listening");
  return {
    url,
    freeze: () => {
      isFrozen = true;
      for (const socket of sockets) socket.pause();
    },
    thaw: () => {
      isFrozen = false;
      for (const socket of sockets) socket.resume();
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
