import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { jobOf, WebhookEvent } from "@comfyq/contract";
import { Webhook } from "standardwebhooks";

/** One request that came in. */
export interface Received {
  readonly id: string;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly event: WebhookEvent;
  /** Did the official library accept the signature? */
  readonly isGenuine: boolean;
}

export interface WebhookSink {
  readonly url: string;
  received(jobId: string): readonly Received[];
  /** Everything of one type. */
  ofType(type: WebhookEvent["type"]): readonly Received[];
  /** Whatever it is about. */
  all(): readonly Received[];
  /** What it answers; 204 unless told otherwise. */
  answerWith(status: number): void;
  close(): Promise<void>;
}

/** A receiver as a customer would write it: checks the signature, keeps what it got. */
export async function startWebhookSink(secret: () => string, path = "/hook"): Promise<WebhookSink> {
  const all: Received[] = [];
  let status = 204;
  const server = createServer(async (request, response) => {
    const body = await text(request).catch(() => undefined);
    if (body === undefined) return; // its sender died in the middle
    const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)]));
    all.push({
      id: headers["webhook-id"] ?? "",
      body,
      headers,
      event: WebhookEvent.parse(JSON.parse(body)),
      isGenuine: verifies(secret(), { body, headers }),
    });
    response.writeHead(status).end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo; // a TCP server's address is never a string
  return {
    url: `http://127.0.0.1:${port}${path}`,
    ofType: (type) => all.filter(({ event }) => event.type === type),
    received: (jobId) => all.filter(({ event }) => jobOf(event)?.id === jobId),
    all: () => [...all],
    answerWith: (next) => {
      status = next;
    },
    close: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** Does the official library accept it by this secret? */
export function verifies(secret: string, { body, headers }: Pick<Received, "body" | "headers">): boolean {
  try {
    new Webhook(secret).verify(body, { ...headers });
    return true;
  } catch {
    return false;
  }
}
