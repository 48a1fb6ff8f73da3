import { once } from "node:events";
import { createServer, type IncomingMessage, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import type { Delivery } from "@comfyq/queue";
import { createLogger, createSafeFetch, tenantWebhookSecret } from "@comfyq/runtime";
import { Webhook } from "standardwebhooks";
import { expect, onTestFinished, test } from "vitest";
import { deliver } from "../src/deliver.ts";

const MASTER = "a master secret of at least thirty-two characters";
const log = createLogger({ name: "test", level: "silent" });

interface Seen {
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

/** A receiver that keeps what it got and answers as told. */
async function receiver(answer: RequestListener): Promise<{ readonly url: string; readonly seen: Seen[] }> {
  const seen: Seen[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    seen.push({ headers: request.headers, body: Buffer.concat(chunks).toString() });
    answer(request, response);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo; // a TCP server's address is never a string
  return { url: `http://127.0.0.1:${port}/hook`, seen };
}

function send(url: string, { timeoutMs = 5_000, allowHosts = ["127.0.0.1:*"] } = {}): Promise<void> {
  const post = createSafeFetch({ allowHosts, timeoutMs, idleTimeoutMs: timeoutMs, maxBytes: 65_536 });
  const delivery: Delivery = { v: 1, tenant: "acme", jobId: "0", type: "job.succeeded", url, body: '{"a":1}' };
  return deliver({ delivery, eventId: "event-1", tryNumber: 1 }, { post, master: MASTER, log });
}

test("a receiver gets the bytes, signed so that the official library accepts them for this tenant only", async () => {
  const { url, seen } = await receiver((_request, response) => response.writeHead(204).end());
  await send(url);
  const [got] = seen;
  expect(got?.body).toBe('{"a":1}');
  const headers = got?.headers as Record<string, string>; // every header that is checked was sent once
  expect(headers["webhook-id"]).toBe("event-1");
  expect(() => new Webhook(tenantWebhookSecret(MASTER, "acme")).verify(got?.body ?? "", headers)).not.toThrow();
  expect(() => new Webhook(tenantWebhookSecret(MASTER, "other")).verify(got?.body ?? "", headers)).toThrow();
  expect(() => new Webhook(tenantWebhookSecret(MASTER, "acme")).verify('{"a":2}', headers)).toThrow();
});

test("a receiver in trouble is tried again later", async () => {
  const { url } = await receiver((_request, response) => response.writeHead(503).end());
  await expect(send(url)).rejects.toThrow("answered 503");
  await expect(send(url)).rejects.not.toMatchObject({ name: "GiveUp" });
});

test("410 Gone ends the trying", async () => {
  const { url } = await receiver((_request, response) => response.writeHead(410).end());
  await expect(send(url)).rejects.toMatchObject({ name: "GiveUp" });
});

test("a redirect is not followed, wherever it leads", async () => {
  const inside = await receiver((_request, response) => response.writeHead(204).end());
  const { url } = await receiver((_request, response) => response.writeHead(307, { location: inside.url }).end());
  await expect(send(url)).rejects.toThrow("redirects");
  expect(inside.seen).toEqual([]);
});

test("a private address that no operator opened is refused for good, and never connected to", async () => {
  const { url, seen } = await receiver((_request, response) => response.writeHead(204).end());
  await expect(send(url, { allowHosts: [] })).rejects.toMatchObject({ name: "GiveUp" });
  await expect(send(url, { allowHosts: [] })).rejects.toThrow("COMFYQ_ALLOW_HOSTS");
  expect(seen).toEqual([]);
});

test("a receiver that never answers is hung up on, and one that answers without end is not listened to", async () => {
  const silent = await receiver(() => {});
  await expect(send(silent.url, { timeoutMs: 200 })).rejects.toMatchObject({
    code: expect.stringMatching(/timed_out|idle/),
  });
  const endless = await receiver((_request, response) => {
    response.writeHead(200);
    const drip = setInterval(() => response.write("x".repeat(65_536)), 1);
    response.on("close", () => clearInterval(drip));
  });
  await send(endless.url);
});
