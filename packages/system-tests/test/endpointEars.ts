import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { WebhookEvent } from "@comfyq/contract";
import { expect, onTestFinished } from "vitest";
import { readJson, type System } from "./setup.ts";

/** One request that came in. */
export interface Arrival {
  readonly id: string;
  readonly event: WebhookEvent;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** An endpoint, and the receiver that it leads to. */
export interface Ears {
  readonly id: string;
  readonly secret: string;
  readonly arrivals: readonly Arrival[];
  /** Ids of the events of one type that arrived, each once. */
  ids(type: string): readonly string[];
  /** What it answers from now on; 204 unless told otherwise. */
  answerWith(status: number): void;
}

/** Makes a receiver of its own, and an endpoint that sends to it; both are gone when the test has finished. */
export async function growEars(system: System, wish: object = {}): Promise<Ears> {
  const arrivals: Arrival[] = [];
  let status = 204;
  const server = createServer(async (request, response) => {
    const body = await text(request).catch(() => undefined);
    if (body === undefined) return; // its sender died in the middle
    const event = WebhookEvent.parse(JSON.parse(body));
    const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)]));
    arrivals.push({ id: headers["webhook-id"] ?? "", event, headers, body });
    response.writeHead(status).end();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo; // a TCP server's address is never a string
  const made = await system.post("/v1/webhooks", { url: `http://127.0.0.1:${port}/in`, ...wish });
  expect(made.status).toBe(201);
  const { id, secret } = await readJson<{ id: string; secret: string }>(made);
  onTestFinished(async () => void (await removeEndpoint(system, id)));
  return {
    id,
    secret,
    arrivals,
    ids: (type) => [...new Set(arrivals.filter(({ event }) => event.type === type).map((one) => one.id))],
    answerWith: (next) => {
      status = next;
    },
  };
}

export function removeEndpoint({ url }: System, id: string): Promise<Response> {
  return fetch(`${url}/v1/webhooks/${id}`, { method: "DELETE" });
}
