import { once } from "node:events";
import { createServer, type IncomingMessage, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import type { Delivery } from "@comfyq/queue";
import { createLogger, createSafeFetch, tenantWebhookSecret } from "@comfyq/runtime";
import { Webhook } from "standardwebhooks";
import { expect, onTestFinished, test } from "vitest";
import { deliver } from "../src/deliver.ts";
import { retryAfterMs } from "../src/retryAfter.ts";
import { openReceiver } from "../src/signing.ts";

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
  const named = { tenant: "acme", jobId: "0", type: "job.succeeded", endpointId: null } as const;
  const delivery: Delivery = { v: 1, ...named, url, body: '{"a":1}' };
  const receiver = async () => openReceiver({ url, secrets: [tenantWebhookSecret(MASTER, "acme")], headers: {} });
  return deliver({ delivery, eventId: "event-1", tryNumber: 1 }, { post, receiver, log });
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

test("a receiver that never answers is hung up on, and so is one whose headers drip without end", async () => {
  const silent = await receiver(() => {});
  const late = { code: expect.stringMatching(/timed_out|idle/) };
  await expect(send(silent.url, { timeoutMs: 200 })).rejects.toMatchObject(late);
  const dripping = await receiver((_request, response) => {
    response.socket?.write("HTTP/1.1 204 No Content\r\n");
    const drip = setInterval(() => response.socket?.write("X-Slow: a\r\n"), 20);
    response.on("close", () => clearInterval(drip));
  });
  await expect(send(dripping.url, { timeoutMs: 300 })).rejects.toMatchObject(late);
});

/** Bytes that its receiver handed to the network before the sender hung up. */
async function bytesTaken(headers: Record<string, string>): Promise<number> {
  let handedOver = 0;
  const hungUp = Promise.withResolvers<void>();
  const { url } = await receiver((_request, response) => {
    response.writeHead(200, headers);
    const more = (): void => {
      while (!response.destroyed && response.write(Buffer.alloc(65_536))) handedOver += 65_536;
    };
    response.on("drain", more).on("close", () => hungUp.resolve());
    more();
  });
  await send(url);
  await hungUp.promise;
  return handedOver;
}

test("what a receiver answers beside its status is not listened to: neither 10 GB nor a gzip bomb", async () => {
  const aFewSocketBuffers = 16_000_000;
  expect(await bytesTaken({})).toBeLessThan(aFewSocketBuffers);
  expect(await bytesTaken({ "content-length": String(10 ** 10) })).toBeLessThan(aFewSocketBuffers);
  expect(await bytesTaken({ "content-encoding": "gzip" })).toBeLessThan(aFewSocketBuffers);
});

test("a receiver that hangs up before it has answered is tried again later", async () => {
  const { url, seen } = await receiver((request) => void request.socket.destroy());
  await expect(send(url)).rejects.toMatchObject({ name: "SafeFetchError" });
  expect(seen).toHaveLength(1);
});

test("a receiver that says when to come back is tried again then", async () => {
  const answering = async (status: number, retryAfter: string) => {
    const { url } = await receiver((_request, response) =>
      response.writeHead(status, { "retry-after": retryAfter }).end(),
    );
    return send(url).catch((error: unknown) => error);
  };
  expect(await answering(429, "120")).toMatchObject({ name: "TryLater", afterMs: 120_000 });
  expect(await answering(503, "soon")).toMatchObject({ name: "Error" });
  expect(await answering(410, "120")).toMatchObject({ name: "GiveUp" });
});

test.each([
  ["120", 120_000],
  [" 0 ", undefined],
  ["-5", undefined],
  ["1e99", undefined],
  ["Wed, 21 Oct 2026 07:28:00 GMT", 60_000],
  ["Wed, 21 Oct 2026 07:26:00 GMT", undefined],
  ["later", undefined],
  [undefined, undefined],
])("Retry-After: %s means %s ms", (header, afterMs) => {
  expect(retryAfterMs(header, Date.parse("2026-10-21T07:27:00Z"))).toBe(afterMs);
});
