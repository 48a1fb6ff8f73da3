import { randomUUID } from "node:crypto";
import {
  type Delivery,
  type EndpointFacts,
  openErrands,
  openProducer,
  type Producer,
  rotateSecrets,
} from "@comfyq/queue";
import { startPrivateRedis } from "@comfyq/queue/testing";
import { createSecretBox, newWebhookSecret, nowMs, tenantWebhookSecret } from "@comfyq/runtime";
import { Webhook } from "standardwebhooks";
import { afterAll, expect, test } from "vitest";
import { receiverOf, signatureOf } from "../src/signing.ts";

const keys = {
  box: createSecretBox("the key of a house that only tests live in"),
  master: "a master of thirty-two letters!!",
};
const redis = await startPrivateRedis();
const producer: Producer = await openProducer({ redisUrl: redis.url });
const idle = async () => {};
const run = {
  settlement: idle,
  delivery: () => Promise.reject(new Error("nothing is sent here")),
  answer: idle,
  errand: idle,
  tick: idle,
};
const errands = await openErrands({ redisUrl: redis.url, run });
afterAll(async () => {
  await Promise.all([producer.close(), errands.close()]);
  await redis.close();
});

const URL_1 = "https://example.com/in";
const HEADERS = { Authorization: "Bearer gateway-token-7d1e" };

async function endpoint(secret: string, more: Partial<EndpointFacts> = {}): Promise<EndpointFacts> {
  const sealed = { sealed: keys.box.seal(secret, "acme"), untilMs: null };
  const shown = { url: URL_1, events: ["job.failed"], description: "", metadata: {}, headerNames: [] };
  const times = {
    createdAtMs: 1,
    updatedAtMs: 1,
    status: "enabled",
    disabledReason: null,
    disabledAtMs: null,
  } as const;
  const facts: EndpointFacts = { v: 1, id: randomUUID(), ...shown, ...times, secrets: [sealed], ...more };
  await producer.webhooks.add("acme", facts);
  return facts;
}

function deliveryTo(endpointId: string | null, more: Partial<Delivery> = {}): Delivery {
  return { v: 1, tenant: "acme", jobId: null, type: "job.failed", url: URL_1, body: '{"a":"b"}', endpointId, ...more };
}

/** As it would be sent now. */
async function signed(delivery: Delivery) {
  const receiver = await receiverOf(errands.room, keys, delivery);
  if (receiver.kind === "gone") throw new Error(receiver.why);
  const at = new Date(nowMs());
  const signature = signatureOf(receiver.secrets, { eventId: "event-1", at, body: delivery.body });
  const stamp = String(Math.floor(at.getTime() / 1_000));
  const headers = { "webhook-id": "event-1", "webhook-timestamp": stamp, "webhook-signature": signature };
  return { receiver, headers, body: delivery.body };
}

/** Asks the official library. */
function accepts(
  secret: string,
  { headers, body }: Pick<Awaited<ReturnType<typeof signed>>, "headers" | "body">,
): boolean {
  try {
    new Webhook(secret).verify(body, headers);
    return true;
  } catch {
    return false;
  }
}

test("while a secret is replaced the library accepts old and new, and after it only the new", async () => {
  const [old, fresh] = [newWebhookSecret(), newWebhookSecret()];
  const { id } = await endpoint(old);
  expect(accepts(old, await signed(deliveryTo(id)))).toBe(true);
  const rotate = (overlapMs: number, atMs: number, secret: string) =>
    producer.webhooks.change("acme", id, (facts) => ({
      ...facts,
      secrets: [...rotateSecrets(facts.secrets, { sealed: keys.box.seal(secret, "acme"), nowMs: atMs, overlapMs })],
    }));
  await rotate(60_000, nowMs(), fresh);
  const during = await signed(deliveryTo(id));
  expect(during.headers["webhook-signature"].split(" ")).toHaveLength(2);
  expect([accepts(old, during), accepts(fresh, during), accepts(newWebhookSecret(), during)]).toEqual([
    true,
    true,
    false,
  ]);
  await rotate(60_000, nowMs() - 60_001, fresh); // its overlap has just run out
  const later = await signed(deliveryTo(id));
  expect([accepts(old, later), accepts(fresh, later)]).toEqual([false, true]);
  const last = newWebhookSecret();
  await rotate(0, nowMs(), last);
  const leaked = await signed(deliveryTo(id));
  expect([accepts(fresh, leaked), accepts(last, leaked)]).toEqual([false, true]);
});

test("the secrets of webhooks of jobs are replaced in the same way", async () => {
  const secretOf = (number: number) => tenantWebhookSecret(keys.master, "acme", number);
  const verdicts = async () => {
    const sent = await signed(deliveryTo(null));
    return [0, 1, 2].map((number) => accepts(secretOf(number), sent));
  };
  expect(await verdicts()).toEqual([true, false, false]);
  expect(await producer.webhooks.rotateSigning("acme", 60_000)).toMatchObject({ number: 1 });
  expect(await verdicts()).toEqual([true, true, false]);
  await producer.webhooks.rotateSigning("acme", 0);
  expect(await verdicts()).toEqual([false, false, true]);
  expect(await producer.webhooks.signing("other")).toEqual({ number: 0, old: [] });
  for (let at = 0; at < 4; at += 1) await producer.webhooks.rotateSigning("many", 60_000);
  await expect(producer.webhooks.rotateSigning("many", 60_000)).rejects.toMatchObject({ code: "conflict" });
});

test("no byte of what is signed can be changed", async () => {
  const secret = newWebhookSecret();
  const { id } = await endpoint(secret);
  const { headers, body } = await signed(deliveryTo(id));
  expect(accepts(secret, { headers, body })).toBe(true);
  for (let at = 0; at < body.length; at += 1)
    expect(accepts(secret, { headers, body: changedAt(body, at) })).toBe(false);
  for (const name of ["webhook-id", "webhook-timestamp", "webhook-signature"] as const)
    for (let at = 0; at < headers[name].length; at += 1) {
      const forged = { ...headers, [name]: changedAt(headers[name], at) };
      expect(accepts(secret, { headers: forged, body }), `${name} at ${at}`).toBe(false);
    }
});

/** Another letter of those that stand at the same places: a digit for a digit. */
function changedAt(text: string, at: number): string {
  const letter = text.charAt(at);
  const other = /\d/.test(letter) ? String((Number(letter) + 5) % 10) : letter === "x" ? "y" : "x";
  return text.slice(0, at) + other + text.slice(at + 1);
}

test("headers of a receiver's own are sent, opened for their tenant only, and hidden in what is kept of its answers", async () => {
  const sealedHeaders = keys.box.seal(JSON.stringify(HEADERS), "acme");
  const secret = newWebhookSecret();
  const { id } = await endpoint(secret, { headerNames: ["Authorization"], sealedHeaders });
  const { receiver } = await signed(deliveryTo(id));
  expect(receiver.headers).toEqual(HEADERS);
  const ofJob = await signed(deliveryTo(null, { headers: sealedHeaders }));
  expect(ofJob.receiver.headers).toEqual(HEADERS);
  expect(ofJob.receiver.hide(`you sent ${HEADERS.Authorization}, or gateway-token-7d1e`)).toBe(
    "you sent [hidden], or [hidden]",
  );
  const stolen = deliveryTo(null, { tenant: "thief", headers: sealedHeaders });
  await expect(receiverOf(errands.room, keys, stolen)).rejects.toMatchObject({ code: "cannot_open" });
});

test("an endpoint that was deleted, disabled or is another tenant's gets nothing any more", async () => {
  const { id } = await endpoint(newWebhookSecret());
  const receiver = (more: Partial<Delivery> = {}) => receiverOf(errands.room, keys, deliveryTo(id, more));
  expect(await receiver({ url: "https://example.com/before" })).toMatchObject({ kind: "open", url: URL_1 });
  expect(await receiver({ tenant: "thief" })).toMatchObject({ kind: "gone" });
  await producer.webhooks.change("acme", id, (facts) => ({ ...facts, status: "disabled", disabledReason: "410 Gone" }));
  expect(await receiver()).toEqual({ kind: "gone", why: "The endpoint is disabled: 410 Gone" });
  await producer.webhooks.remove("acme", id);
  expect(await receiver()).toEqual({ kind: "gone", why: "The endpoint was deleted" });
});
