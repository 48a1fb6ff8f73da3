import { randomUUID } from "node:crypto";
import { expect, test, vi } from "vitest";
import { sweepExpired } from "../src/index.ts";
import { openLine } from "./line.ts";
import { claimOne, endLock, manifestFor, nodeFailed, setup, untilSomebodyWaits } from "./setup.ts";

test("a job waits, is held by its epoch, waits again for another try, and has ended", async () => {
  await using house = await setup();
  const claimer = await house.claimer();
  const id = await house.submit();
  expect(await claimer.standing(id)).toEqual({ kind: "waiting" });
  const first = await claimOne(claimer);
  expect(await claimer.standing(id)).toEqual({ kind: "held", epoch: 1 });
  await first.end({ kind: "retry", error: nodeFailed, afterMs: 100, counted: true });
  expect(await claimer.standing(id)).toEqual({ kind: "waiting" }); // delayed
  const second = await claimOne(claimer);
  expect(await claimer.standing(id)).toEqual({ kind: "held", epoch: 2 });
  await second.end({ kind: "succeeded", manifest: manifestFor(second) });
  expect(await claimer.standing(id)).toEqual({ kind: "ended" });
});

test("a job that was withdrawn while it waited has ended, too; one that never was is unknown", async () => {
  await using house = await setup();
  const claimer = await house.claimer();
  const canceled = await house.submit();
  await house.producer.cancel("default", canceled);
  expect(await claimer.standing(canceled)).toEqual({ kind: "ended" });
  const expired = await house.submit({ expires_in_s: 1 });
  await claimer.room.redis.zadd(claimer.room.names.expiring, 1, expired);
  expect(await sweepExpired(claimer.room)).toBe(1);
  expect(await claimer.standing(expired)).toEqual({ kind: "ended" });
  expect(await claimer.standing(randomUUID())).toEqual({ kind: "unknown" });
});

test("a job of another pool cannot be taken up here while it waits, but who holds it is known", async () => {
  await using house = await setup();
  const here = await house.claimer("here");
  const there = await house.claimer("there", { pool: "big" });
  const id = await house.submit({ pool: "big" });
  expect(await here.standing(id)).toEqual({ kind: "unknown" });
  await claimOne(there);
  expect(await here.standing(id)).toEqual({ kind: "held", epoch: 1 });
});

test("a job whose lock ran out counts as held until it really waits again", async () => {
  await using house = await setup();
  const claimer = await house.claimer();
  const id = await house.submit();
  await claimOne(claimer);
  await claimer.stopClaiming(); // its scans, too: nobody looks for lost locks now
  await endLock(claimer, id);
  expect(await claimer.standing(id)).toEqual({ kind: "held", epoch: 1 });
  const other = await house.claimer();
  await vi.waitFor(async () => expect(await other.standing(id)).toEqual({ kind: "waiting" }), { timeout: 20_000 });
}, 30_000);

test("a worker that has claimed a job and not begun it does not look like a successor", async () => {
  await using house = await setup();
  await using line = await openLine(house.redis.url);
  const home = await house.claimer("home");
  const other = await house.claimer("other", { redisUrl: line.url });
  const id = await house.submit();
  const held = await claimOne(home);
  await held.journal({ prompt_id: "p" });
  await held.end({ kind: "give_back", reason: "drained" });
  line.freeze("answers");
  const claiming = other.claim();
  await vi.waitFor(async () => expect(await home.standing(id)).toEqual({ kind: "held", epoch: 1 }));
  expect(await home.room.jobs("default").getJob(id)).toMatchObject({ attemptsStarted: 2 });
  line.thaw();
  expect(await claiming).toMatchObject({ id, epoch: 2 });
  expect(await home.standing(id)).toEqual({ kind: "held", epoch: 2 });
});

test("jobs named first go before all others, in their order, wherever they wait", async () => {
  await using house = await setup();
  const claimer = await house.claimer();
  const urgent = await house.submit({ priority: 10 });
  const idle = await house.submit({ priority: -10 });
  const later = await house.submit({ run_at: new Date(Date.now() + 3_600_000).toISOString() });
  const normal = await house.submit();
  const first = [later, randomUUID(), idle];
  const order: string[] = [];
  for (let n = 0; n < 4; n += 1) {
    const held = await claimOne(claimer, n === 0 ? { first } : {});
    order.push(held.id);
    await held.end({ kind: "failed", error: nodeFailed });
  }
  expect(order).toEqual([later, idle, urgent, normal]);
});

test("naming a job first takes it from nobody and raises no job that has ended", async () => {
  await using house = await setup();
  const claimer = await house.claimer("one");
  const ended = await house.submit();
  await (await claimOne(claimer)).end({ kind: "failed", error: nodeFailed });
  const active = await house.submit();
  const held = await claimOne(claimer);
  const canceled = await house.submit();
  await house.producer.cancel("default", canceled);
  const free = await house.submit();
  const other = await house.claimer("two");
  expect((await claimOne(other, { first: [ended, active, canceled] })).id).toBe(free);
  expect(held.isOurs()).toBe(true);
  expect(await house.producer.read("default", ended)).toMatchObject({ status: "failed" });
});

test("a worker that waits is woken for a job that another names first, and then leaves", async () => {
  await using house = await setup({ timeScale: 10 }); // who is not woken looks for itself after 50 s
  const waiting = claimOne(await house.claimer("waiting"));
  const id = await house.submit({ run_at: new Date(Date.now() + 3_600_000).toISOString() });
  const naming = await house.claimer("naming");
  await untilSomebodyWaits(naming);
  await naming.stopClaiming();
  expect(await naming.claim({ first: [id] })).toBeUndefined();
  expect((await waiting).id).toBe(id);
});
