import { once } from "node:events";
import { createServer, type IncomingMessage, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import type { Delivery, TryReport } from "@comfyq/queue";
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

function send(url: string, { timeoutMs = 5_000, allowHosts = ["127.0.0.1:*"] } = {}): Promise<TryReport> {
  const post = createSafeFetch({ allowHosts, timeoutMs, idleTimeoutMs: timeoutMs, maxBytes: 65_536 });
  const named = { tenant: "acme", jobId: "0", type: "job.succeeded", endpointId: null } as const;
  const delivery: Delivery = { v: 1, ...named, url, body: '{"a":1}' };
  const receiver = async () => openReceiver({ url, secrets: [tenantWebhookSecret(MASTER, "acme")], headers: {} });
  const order = { eventId: "event-1", deliveryId: "event-1", number: 1 };
  return deliver({ delivery, order }, { post, receiver, log });
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
  expect(await send(url)).toMatchObject({
    status: 503,
    code: "not_accepted",
    verdict: { kind: "again", afterMs: 0 },
    message: expect.stringContaining("answered 503"),
  });
});

test("410 Gone ends the trying", async () => {
  const { url } = await receiver((_request, response) => response.writeHead(410).end());
  expect(await send(url)).toMatchObject({ code: "gone", verdict: { kind: "give_up" } });
});

test.each([301, 302, 303, 307, 308])(
  "a redirect (%i) is not followed, wherever it leads, and says so",
  async (status) => {
    const inside = await receiver((_request, response) => response.writeHead(204).end());
    const { url } = await receiver((_request, response) => response.writeHead(status, { location: inside.url }).end());
    expect(await send(url)).toMatchObject({
      status,
      code: "redirect_refused",
      verdict: { kind: "again" },
      message: expect.stringContaining(`answered ${status}, a redirect`),
    });
    expect(inside.seen).toEqual([]);
  },
);

test("a private address that no operator opened is refused for good, and never connected to", async () => {
  const { url, seen } = await receiver((_request, response) => response.writeHead(204).end());
  const report = await send(url, { allowHosts: [] });
  expect(report).toMatchObject({ code: "address_refused", status: null, verdict: { kind: "give_up" } });
  expect(report.message).toContain("COMFYQ_ALLOW_HOSTS");
  expect(seen).toEqual([]);
});

test("a receiver that never answers is hung up on, and so is one whose headers drip without end", async () => {
  const silent = await receiver(() => {});
  const late = { code: expect.stringMatching(/timed_out|idle/), verdict: { kind: "again" }, isAnswered: false };
  expect(await send(silent.url, { timeoutMs: 200 })).toMatchObject(late);
  const dripping = await receiver((_request, response) => {
    response.socket?.write("HTTP/1.1 204 No Content\r\n");
    const drip = setInterval(() => response.socket?.write("X-Slow: a\r\n"), 20);
    response.on("close", () => clearInterval(drip));
  });
  expect(await send(dripping.url, { timeoutMs: 300 })).toMatchObject(late);
});

test("a receiver whose answer drips without end is cut soon after its head, and its status counts", async () => {
  const cut = Promise.withResolvers<void>();
  const dripping = await receiver((_request, response) => {
    response.writeHead(200);
    const drip = setInterval(() => response.write("."), 20);
    response.on("close", () => {
      clearInterval(drip);
      cut.resolve();
    });
  });
  expect(await send(dripping.url, { timeoutMs: 60_000 })).toMatchObject({
    status: 200,
    verdict: { kind: "delivered" },
    answer: expect.stringMatching(/^\.+$/),
  });
  await cut.promise;
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

test("of an answer the first 512 bytes are kept, as text without control characters or secrets", async () => {
  const secret = tenantWebhookSecret(MASTER, "acme");
  const answer = `\u001b[31mno\u0000\r\n\tgood: ${secret} https://a.example/?key=word ${"\u00fc".repeat(9_000)}`;
  const { url } = await receiver((_request, response) => response.writeHead(500).end(answer));
  const { answer: kept } = await send(url);
  expect(kept).toMatch(/^\[31mno good: \[hidden\] https:\/\/a\.example\/\?key=\* \u00fc+$/);
  expect(Buffer.byteLength(kept ?? "")).toBeLessThanOrEqual(512);
});

test("a receiver that hangs up before it has answered is tried again later", async () => {
  const { url, seen } = await receiver((request) => void request.socket.destroy());
  expect(await send(url)).toMatchObject({ code: "unreachable", status: null, verdict: { kind: "again" } });
  expect(seen).toHaveLength(1);
});

test("a receiver that says when to come back is tried again then", async () => {
  const answering = async (status: number, retryAfter: string) => {
    const { url } = await receiver((_request, response) =>
      response.writeHead(status, { "retry-after": retryAfter }).end(),
    );
    return (await send(url)).verdict;
  };
  expect(await answering(429, "120")).toEqual({ kind: "again", afterMs: 120_000 });
  expect(await answering(503, "soon")).toEqual({ kind: "again", afterMs: 0 });
  expect(await answering(410, "120")).toEqual({ kind: "give_up" });
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
