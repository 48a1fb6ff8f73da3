import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

/** What of a line may freeze: everything, or only what Redis is asked, or only what it answers. */
type Frozen = "all" | "requests" | "answers";

/** A line between one process and its Redis, which can freeze: connections stay open, and nothing passes. */
export interface Line extends AsyncDisposable {
  /** What to connect to instead of Redis. */
  readonly url: string;
  freeze(what: Frozen): void;
  thaw(): void;
  /** Breaks the connection instead of passing on the nth answer from now: Redis has done what it was asked, and nobody knows. */
  loseAnswer(nth: number): void;
}

/** @param redisSocket path of Redis's unix socket */
export async function openLine(redisSocket: string): Promise<Line> {
  const url = `${redisSocket}-line-${Math.random().toString(36).slice(2)}`;
  const requests = new Set<Socket>();
  const answers = new Set<Socket>();
  let frozen: Frozen | undefined;
  let answersToLose = 0;
  const isFrozen = (sockets: Set<Socket>) =>
    frozen === "all" || (frozen !== undefined && sockets === (frozen === "answers" ? answers : requests));
  const apply = () => {
    for (const sockets of [requests, answers])
      for (const socket of sockets)
        if (isFrozen(sockets)) socket.pause();
        else socket.resume();
  };
  const pass = (from: Socket, to: Socket, sockets: Set<Socket>) => {
    sockets.add(from);
    from.on("data", (bytes) => {
      if (sockets === answers) answersToLose -= 1;
      if (sockets === answers && answersToLose === 0) from.destroy();
      else to.write(bytes);
    });
    for (const event of ["close", "error"]) from.on(event, () => to.destroy());
    from.on("close", () => sockets.delete(from));
    if (isFrozen(sockets)) from.pause();
  };
  const server = createServer((client) => {
    const redis = connect(redisSocket);
    pass(client, redis, requests);
    pass(redis, client, answers);
  });
  await once(server.listen(url), "listening");
  return {
    url,
    freeze: (what) => {
      frozen = what;
      apply();
    },
    thaw: () => {
      frozen = undefined;
      apply();
    },
    loseAnswer: (nth) => {
      answersToLose = nth;
    },
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, "close");
      server.close();
      for (const sockets of [requests, answers]) for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
