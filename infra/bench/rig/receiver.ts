import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";

/** A receiver of webhooks that takes its time. */
export interface Receiver extends AsyncDisposable {
  readonly url: string;
  /** When each job's event arrived, in ms of `performance.now()`; the first one counts. */
  readonly arrivedAtMs: ReadonlyMap<string, number>;
  /** What it does from now on. */
  behave(how: { readonly answerAfterMs?: number; readonly status?: number }): void;
  /** Waits until every one of these jobs was told of. */
  untilTold(jobIds: readonly string[]): Promise<void>;
}

export async function startReceiver(answerAfterMs = 0): Promise<Receiver> {
  const arrivedAtMs = new Map<string, number>();
  let manner = { answerAfterMs, status: 204 };
  let arrival = Promise.withResolvers<void>();
  const server = createServer(async (request, response) => {
    const atMs = performance.now();
    const body = (await json(request).catch(() => undefined)) as { data?: { job?: { id?: string } } } | undefined;
    const id = body?.data?.job?.id;
    if (id !== undefined && !arrivedAtMs.has(id)) arrivedAtMs.set(id, atMs);
    arrival.resolve();
    arrival = Promise.withResolvers();
    const { status } = manner;
    if (manner.answerAfterMs > 0) await sleep(manner.answerAfterMs);
    response.writeHead(status).end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo; // a TCP server's address is never a string
  return {
    url: `http://127.0.0.1:${port}/hook`,
    arrivedAtMs,
    behave: (how) => {
      manner = { ...manner, ...how };
    },
    untilTold: async (jobIds) => {
      while (!jobIds.every((id) => arrivedAtMs.has(id))) await arrival.promise;
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
