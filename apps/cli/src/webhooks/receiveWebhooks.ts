import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";

/** One webhook as it arrived. */
export interface Arrival {
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

interface WebhookReceiver {
  readonly port: number;
  close(): Promise<void>;
}

interface ReceiveOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** @returns the status that is answered */
  readonly onArrival: (arrival: Arrival) => Promise<number>;
}

/** Takes in what is posted to this machine. @throws Error when the port is taken */
export async function receiveWebhooks({ host, port, onArrival }: ReceiveOptions): Promise<WebhookReceiver> {
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await buffer(request);
    const status = request.method === "POST" ? await onArrival({ headers: headersOf(request), body }) : 405;
    response.writeHead(status).end();
  };
  const server = createServer((request, response) => {
    answer(request, response).catch(() => response.destroy()); // its sender is gone; it comes again
  });
  server.listen(port, host);
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port, // a TCP server's address is never a string
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function headersOf({ headers }: IncomingMessage): ReadonlyMap<string, string> {
  return new Map(Object.entries(headers).map(([name, value]) => [name, String(value)]));
}
