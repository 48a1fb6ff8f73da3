import { randomUUID } from "node:crypto";
import { jobFailure, NewJob } from "@comfyq/contract";
import { expect, test } from "vitest";
import { claimOne, GRAPH, manifestFor, nodeFailed, setup, untilSomebodyWaits } from "./setup.ts";

test("a job is queued, claimed, and succeeded with its manifest's outputs", async () => {
  await using house = await setup();
  const id = await house.submit({ metadata: { order: "42" }, tags: ["a"] });
  expect(await house.producer.read("default", id)).toMatchObject({ status: "queued", queue_position: 1, attempts: 0 });
  const held = await claimOne(await house.claimer());
  expect(held).toMatchObject({ id, epoch: 1, request: { workflow: GRAPH } });
  await held.journal({ instance: "http://127.0.0.1:8188", stage: "rendering" });
  expect(await house.producer.read("default", id)).toMatchObject({
    status: "running",
    stage: "rendering",
    attempts: 1,
  });
  expect(await held.end({ kind: "succeeded", manifest: manifestFor(held) })).toBe(true);
  const job = await house.producer.read("default", id);
  expect(job).toMatchObject({ status: "succeeded", stage: null, sealed_epoch: 1, metadata: { order: "42" } });
  expect(job?.outputs).toEqual([{ node_id: "2", name: "seed", type: "value", value: 7 }]);
  expect(job?.metrics.render_ms).toBe(2);
});

test("a job belongs to its tenant: another sees neither it nor its workflow, and cannot cancel it", async () => {
  await using house = await setup();
  const id = await house.submit({}, "acme");
  expect(await house.producer.read("other", id)).toBeUndefined();
  expect(await house.producer.workflow("other", id)).toBeUndefined();
  expect(await house.producer.attempts("other", id)).toBeUndefined();
  expect(await house.producer.cancel("other", id)).toBeUndefined();
  expect(await house.producer.read("acme", id)).toMatchObject({ status: "queued" });
});

test("higher priority runs first, and equals in the order they came", async () => {
  await using house = await setup();
  const first = await house.submit();
  const second = await house.submit();
  const urgent = await house.submit({ priority: 10 });
  const idle = await house.submit({ priority: -5 });
  const claimer = await house.claimer();
  const order: string[] = [];
  for (let n = 0; n < 4; n += 1) {
    const held = await claimOne(claimer);
    order.push(held.id);
    await held.end({ kind: "failed", error: nodeFailed });
  }
  expect(order).toEqual([urgent, first, second, idle]);
});

test("a failed job shows its error, and a retry waits and then is attempt 2", async () => {
  await using house = await setup();
  const id = await house.submit();
  const claimer = await house.claimer();
  const first = await claimOne(claimer);
  await first.end({ kind: "retry", error: nodeFailed, afterMs: 20, counted: true });
  expect(await house.producer.read("default", id)).toMatchObject({ status: "queued", attempts: 1, error: null });
  const second = await claimOne(claimer);
  expect(second.epoch).toBe(2);
  expect(second.earlier).toMatchObject([{ epoch: 1, end: "failed", counted: true, error: { code: "node_failed" } }]);
  await second.end({ kind: "failed", error: nodeFailed });
  expect(await house.producer.read("default", id)).toMatchObject({ status: "failed", error: nodeFailed, attempts: 2 });
});

test("a job given back is claimed at once by a waiting worker, and the try does not count", async () => {
  await using house = await setup({ timeScale: 10 }); // who is not woken looks for itself after 50 s
  const id = await house.submit();
  const one = await claimOne(await house.claimer("one"));
  const two = await house.claimer("two");
  const waiting = claimOne(two);
  await untilSomebodyWaits(two);
  await one.end({ kind: "give_back", reason: "draining" });
  const held = await waiting;
  expect(held.id).toBe(id);
  expect(held.earlier).toMatchObject([{ end: "given_back", counted: false }]);
  await held.end({ kind: "succeeded", manifest: manifestFor(held) });
});

test("the same id and body is one job, however often it is submitted; another body is refused", async () => {
  await using house = await setup();
  const submission = { id: randomUUID(), tenant: "default", job: NewJob.parse({ workflow: GRAPH }), bodySha256: "a" };
  const answers = await Promise.all(Array.from({ length: 50 }, () => house.producer.submit(submission)));
  expect(answers.filter((answer) => !answer.replayed)).toHaveLength(1);
  expect((await house.producer.pools()).map((pool) => pool.waiting)).toEqual([1]);
  await expect(house.producer.submit({ ...submission, bodySha256: "b" })).rejects.toMatchObject({ code: "key_reuse" });
});

test("an id whose record was written but not queued is completed by the repeat", async () => {
  await using house = await setup();
  const { room } = await house.claimer();
  const submission = { id: randomUUID(), tenant: "default", job: NewJob.parse({ workflow: GRAPH }), bodySha256: "a" };
  await house.producer.submit(submission);
  await (await room.jobs("default").getJob(submission.id))?.remove(); // as if the API had died in between
  expect(await house.producer.read("default", submission.id)).toBeUndefined();
  await house.producer.submit(submission);
  expect(await house.producer.read("default", submission.id)).toMatchObject({ status: "queued" });
});

test("a job that killed two workers is poison: it fails and is not started a third time", async () => {
  await using house = await setup();
  const id = await house.submit();
  const { room } = await house.claimer();
  const died = { worker: "w", instance: "i", stage: "rendering", started_at: new Date().toISOString(), ended_at: null };
  const facts = {
    end: null,
    counted: false,
    prompt_id: null,
    prepare_ms: null,
    render_ms: null,
    store_ms: null,
    error: null,
  };
  for (const epoch of [1, 2])
    await room.redis.hset(room.names.attempts(id), String(epoch), JSON.stringify({ ...died, ...facts, epoch }));
  expect(await (await house.claimer()).claim()).toBeUndefined();
  expect(await house.producer.read("default", id)).toMatchObject({ status: "failed", error: { code: "poison" } });
});

test("run_at in the future is not claimed before", async () => {
  await using house = await setup();
  const later = await house.submit({ run_at: new Date(Date.now() + 3_600_000).toISOString() });
  const now = await house.submit();
  const claimer = await house.claimer();
  expect((await claimOne(claimer)).id).toBe(now);
  expect(await house.producer.read("default", later)).toMatchObject({ status: "queued", attempts: 0 });
});

test("a job that expired while it waited ends as expired, with what to do", async () => {
  await using house = await setup();
  const { sweepExpired } = await import("../src/index.ts");
  const id = await house.submit({ expires_in_s: 1 });
  const { room } = await house.claimer();
  await room.redis.zadd(room.names.expiring, 1, id); // its deadline has passed
  expect(await sweepExpired(room)).toBe(1);
  const job = await house.producer.read("default", id);
  expect(job).toMatchObject({ status: "expired", error: { code: "expired", blame: "customer" } });
  expect(jobFailure("expired", "x").retryable).toBe(false);
});

test("whatever a customer asks of a job reaches its worker and its retry: no field is dropped on the way", async () => {
  await using house = await setup();
  const asked = {
    metadata: { order: "42" },
    tags: ["a"],
    priority: 3,
    timeout_s: 77,
    max_attempts: 5,
    expires_in_s: 3_000,
    webhook: { url: "https://example.com/told" },
    output: { prefix: "campaign", convert: { format: "webp", quality: 80 }, inline: true } as const,
  };
  const id = await house.submit(asked);
  const held = await claimOne(await house.claimer());
  expect(held.head).toMatchObject(asked);
  expect((await house.producer.submitted("default", id))?.job).toMatchObject(asked);
  await held.end({ kind: "failed", error: nodeFailed });
});
