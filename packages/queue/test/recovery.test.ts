import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { NewJob, type WebhookEvent } from "@comfyq/contract";
import { expect, test, vi } from "vitest";
import {
  type Claimer,
  openErrands,
  openProducer,
  type QueueRoom,
  queueDelivery,
  sweepRetention,
} from "../src/index.ts";
import { accepted } from "./sending.ts";
import { claimOne, GRAPH, manifestFor, setup } from "./setup.ts";

const redisFor = (url: string) => ({ redisUrl: url });

test("a job whose worker was killed is claimed by another, as the next epoch", async () => {
  await using house = await setup();
  const id = await house.submit();
  const script = `
    const { openClaimer } = await import(${JSON.stringify(new URL("../src/index.ts", import.meta.url).href)});
    const claimer = await openClaimer({ redisUrl: ${JSON.stringify(house.redis.url)}, pool: "default", workerId: "doomed", instance: "i" });
    let held; while (!held) held = await claimer.claim();
    await held.journal({ instance: "i", prompt_id: "p" });
    process.stdout.write(held.id);`;
  const doomed = spawn(process.execPath, ["--conditions=@comfyq/source", "--input-type=module", "-e", script]);
  const [said] = await once(doomed.stdout, "data");
  expect(String(said)).toBe(id);
  doomed.kill("SIGKILL");
  const held = await claimOne(await house.claimer());
  expect(held).toMatchObject({ id, epoch: 2 });
  expect(held.earlier).toMatchObject([{ epoch: 1, end: null, prompt_id: "p", worker: "doomed" }]);
  expect(await held.end({ kind: "succeeded", manifest: manifestFor(held) })).toBe(true);
}, 60_000);

test("a job that a worker an hour ahead put off for a moment does not wait an hour for the others", async () => {
  await using house = await setup();
  const id = await house.submit();
  const script = `
    const real = Date.now;
    Date.now = () => real() + 3_600_000;
    const { openClaimer } = await import(${JSON.stringify(new URL("../src/index.ts", import.meta.url).href)});
    const claimer = await openClaimer({ redisUrl: ${JSON.stringify(house.redis.url)}, pool: "default", workerId: "ahead", instance: "i" });
    let held; while (!held) held = await claimer.claim();
    const error = { code: "internal", message: "x", blame: "platform", retryable: true };
    process.stdout.write(String(await held.end({ kind: "retry", error, counted: true, afterMs: 500 })));
    process.kill(process.pid, "SIGKILL");`;
  const ahead = spawn(process.execPath, ["--conditions=@comfyq/source", "--input-type=module", "-e", script]);
  const [said] = await once(ahead.stdout, "data");
  expect(String(said)).toBe("true");
  expect(await claimOne(await house.claimer())).toMatchObject({ id, earlier: [{ end: "failed", worker: "ahead" }] });
}, 30_000);

/** As if another worker held the job by now. */
async function takeLockAway({ room }: Claimer, jobId: string): Promise<void> {
  await room.redis.set(`${room.names.bull(room.names.jobsQueue("default"), jobId)}:lock`, "another");
}

test("a holder whose lock was taken away hears it, and can no longer end the job", async () => {
  await using house = await setup();
  const id = await house.submit();
  const claimer = await house.claimer();
  const held = await claimOne(claimer);
  await takeLockAway(claimer, id);
  await vi.waitFor(() => expect(held.signal.aborted).toBe(true), { timeout: 15_000 });
  expect(held.signal.reason).toBe("lock_lost");
  expect(await held.end({ kind: "succeeded", manifest: manifestFor(held) })).toBe(false);
  expect(await house.producer.read("default", id)).toMatchObject({ status: "running" });
}, 30_000);

test("a ghost that has not heard yet that its lock is another's is refused all the same", async () => {
  await using house = await setup();
  const id = await house.submit();
  const claimer = await house.claimer();
  const held = await claimOne(claimer);
  await takeLockAway(claimer, id);
  expect(held.signal.aborted).toBe(false);
  expect(await held.end({ kind: "succeeded", manifest: manifestFor(held) })).toBe(false);
  expect(await house.producer.read("default", id)).toMatchObject({ status: "running", outputs: [] });
  // Not even its own page says that it succeeded.
  await vi.waitFor(async () =>
    expect(await house.producer.attempts("default", id)).toMatchObject([{ end: "given_back", counted: false }]),
  );
});

test("jobs survive a kill -9 of Redis, and callers are told so meanwhile", async () => {
  await using house = await setup();
  const { room } = await house.claimer();
  await room.redis.config("SET", "appendfsync", "always"); // everysec may lose the last second
  const id = await house.submit();
  await house.redis.kill();
  await expect(house.submit()).rejects.toMatchObject({ code: "unavailable" });
  await house.redis.restart();
  await vi.waitFor(async () => expect(await house.producer.read("default", id)).toMatchObject({ status: "queued" }), {
    timeout: 10_000,
  });
}, 30_000);

test("a Redis that can lose jobs is refused, with the command that mends it", async () => {
  await using house = await setup();
  const { room } = await house.claimer();
  await room.redis.config("SET", "maxmemory-policy", "allkeys-lru");
  const opening = openProducer(redisFor(house.redis.url));
  await expect(opening).rejects.toMatchObject({ code: "unsafe_redis" });
  await expect(opening).rejects.toThrow("CONFIG SET maxmemory-policy noeviction");
  await (await openProducer({ ...redisFor(house.redis.url), allowUnsafeRedis: true })).close();
});

test("a swept job leaves nothing behind, and younger ones stay", async () => {
  await using house = await setup();
  const claimer = await house.claimer();
  const { room } = claimer;
  const before = new Set(await room.redis.keys("*"));
  const id = await house.submit({ tags: ["t"], expires_in_s: 3_600 });
  const held = await claimOne(claimer);
  await held.end({ kind: "succeeded", manifest: manifestFor(held) });
  const removed: string[] = [];
  const removeFiles = async (prefix: string) => void removed.push(prefix);
  await room.redis.zadd(room.names.retention, 1, id); // looked at now, though it is young
  expect(await sweepRetention(room, removeFiles)).toBe(0);
  expect(await house.producer.read("default", id)).toMatchObject({ status: "succeeded" });
  await room.redis.zadd(room.names.retention, 1, id);
  const old: QueueRoom = { ...room, retentionMs: -1 };
  expect(await sweepRetention(old, removeFiles)).toBe(1);
  expect(removed).toEqual([`jobs/${id}/`]);
  expect(await house.producer.read("default", id)).toBeUndefined();
  const after = (await room.redis.keys("*")).filter((key) => !before.has(key) && key.includes(id));
  expect(after).toEqual([]);
});

test("files under a customer's own prefix are swept with their job, and its manifest too", async () => {
  await using house = await setup();
  const claimer = await house.claimer();
  const id = await house.submit({ output: { prefix: "shop/pictures" } });
  const held = await claimOne(claimer);
  expect(held.head.output).toEqual({ prefix: "shop/pictures" });
  await held.end({ kind: "succeeded", manifest: manifestFor(held) });
  const removed: string[] = [];
  const old: QueueRoom = { ...claimer.room, retentionMs: -1 };
  await old.redis.zadd(old.names.retention, 1, id);
  expect(await sweepRetention(old, async (prefix) => void removed.push(prefix))).toBe(1);
  expect(removed).toEqual([`shop/pictures/${id}/`, `jobs/${id}/`]);
});

test("the end of a job is told once, however it ended, and an event is queued once however often it is announced", async () => {
  await using house = await setup();
  const ended: string[] = [];
  const delivered: string[] = [];
  const errands = await openErrands({
    ...redisFor(house.redis.url),
    run: {
      settlement: async ({ jobId, what }) => void ended.push(`${jobId} ${what}`),
      answer: async () => {},
      delivery: async (_delivery, { eventId }) => {
        delivered.push(eventId);
        return accepted;
      },
      errand: async () => {},
      tick: async () => {},
    },
  });
  const webhook = { url: "https://example.com/hook" };
  const canceled = await house.submit({ webhook });
  await house.producer.cancel("default", canceled);
  const done = await house.submit({ webhook });
  const held = await claimOne(await house.claimer());
  await held.end({ kind: "succeeded", manifest: manifestFor(held) });
  await vi.waitFor(() => expect(new Set(ended)).toEqual(new Set([`${canceled} ended`, `${done} ended`])));
  // Only id and type matter to the queue; the rest of the body is the dispatcher's.
  const event = { v: 1, id: randomUUID(), type: "job.succeeded", data: { job: { id: done } } } as WebhookEvent;
  for (let n = 0; n < 3; n += 1)
    await queueDelivery(errands.room, event, { tenant: "default", url: webhook.url, endpointId: null });
  await vi.waitFor(() => expect(delivered).toEqual([event.id]));
  expect(ended).toHaveLength(2);
  await errands.close();
});

test("a record that cannot be read fails its own job, and the worker goes on with the next", async () => {
  await using house = await setup();
  const claimer = await house.claimer();
  const broken = await house.submit();
  const gone = await house.submit();
  const fine = await house.submit();
  await claimer.room.redis.hset(claimer.room.names.record(broken), "request", JSON.stringify({ workflow: 7 }));
  await claimer.room.redis.hdel(claimer.room.names.record(gone), "request");
  expect((await claimOne(claimer)).id).toBe(fine);
  for (const id of [broken, gone])
    expect(await house.producer.read("default", id)).toMatchObject({ status: "failed", error: { code: "internal" } });
});

test("a pool at its cap refuses, and says to come back", async () => {
  await using house = await setup();
  const { room } = await house.claimer();
  const fill = 'for n = 1, 100000 do redis.call("ZADD", KEYS[1], 4e15 + n, "filler-" .. n) end';
  await room.redis.eval(fill, 1, room.names.bull(room.names.jobsQueue("default"), "delayed"));
  const submission = { id: randomUUID(), tenant: "default", job: NewJob.parse({ workflow: GRAPH }), bodySha256: "a" };
  await expect(house.producer.submit(submission)).rejects.toMatchObject({ code: "full" });
  expect(await house.producer.read("default", submission.id)).toBeUndefined();
});
