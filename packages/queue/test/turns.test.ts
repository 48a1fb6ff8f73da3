import { randomUUID } from "node:crypto";
import { NewJob } from "@comfyq/contract";
import fc from "fast-check";
import type { Redis } from "ioredis";
import { afterAll, expect, test } from "vitest";
import { connectRedis } from "../src/connection.ts";
import { toBullPriority } from "../src/envelopes.ts";
import { claimOne, nodeFailed, setup } from "./setup.ts";

const house = await setup();
const redis: Redis = connectRedis(house.redis.url, "worker");
afterAll(async () => {
  redis.disconnect();
  await house[Symbol.asyncDispose]();
});

const LEVELS = [0, 5];

type Step =
  | { readonly do: "single" | "claim" | "cancel"; readonly level: number; readonly pick: number }
  | { readonly do: "children"; readonly batch: number; readonly count: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant("single"), level: fc.nat(1), pick: fc.nat() }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("claim"), level: fc.nat(1), pick: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("cancel"), level: fc.nat(1), pick: fc.nat() }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("children"), batch: fc.nat(3), count: fc.integer({ min: 1, max: 9 }) }),
  },
);

interface Waiting {
  readonly id: string;
  readonly level: number;
  /** Undefined for a single. */
  readonly batch: number | undefined;
  /** Number of its submission, over all. */
  readonly serial: number;
}

/** A pool of its own, and what the test itself knows of it. */
class Line {
  readonly pool = `p${randomUUID()}`;
  readonly #batches = [0, 1, 2, 3].map(() => randomUUID());
  readonly #rows = new Map<number, number>();
  readonly waiting = new Map<string, Waiting>();
  /** Singles that were taken out of the middle: those behind them keep their turns. */
  gaps = 0;
  #serial = 0;

  async submit(level: number, batch?: number): Promise<Waiting> {
    const id = randomUUID();
    const row = this.#rows.get(batch ?? -1) ?? 0;
    const origin = batch === undefined ? undefined : { batch: { id: this.#batches[batch] ?? "", row } };
    this.#rows.set(batch ?? -1, row + 1);
    if (origin) await redis.set(`comfyq:batch:${origin.batch.id}:states`, ".".repeat(row + 1)); // as its commit would have
    const job = NewJob.parse({ workflow: {}, pool: this.pool, priority: LEVELS[level] });
    await house.producer.submit({ id, tenant: "t", job, bodySha256: "x", origin });
    const submitted = { id, level, batch, serial: this.#serial++ };
    this.waiting.set(id, submitted);
    return submitted;
  }

  /** Who waits, in the order of their claims. */
  async order(): Promise<readonly Waiting[]> {
    const ids = await redis.zrange(`comfyq:jobs-${this.pool}:prioritized`, 0, "-1");
    return ids.map((id) => this.waiting.get(id)).filter((job) => job !== undefined);
  }

  /** As a worker's claim would take it. */
  async claim(): Promise<Waiting | undefined> {
    const [id] = await redis.zpopmin(`comfyq:jobs-${this.pool}:prioritized`);
    const claimed = id === undefined ? undefined : this.waiting.get(id);
    if (id !== undefined) this.waiting.delete(id);
    return claimed;
  }

  async cancel(job: Waiting | undefined): Promise<void> {
    if (!job) return;
    await house.producer.cancel("t", job.id);
    this.waiting.delete(job.id);
    if (job.batch === undefined) this.gaps += 1;
  }
}

const levelOf = (job: Waiting) => toBullPriority(LEVELS[job.level] ?? 0);
const isBefore = (a: Waiting, b: Waiting) => a.serial < b.serial;

/** Singles stand as they came, and so do the rows of a batch; higher levels first. */
function assertOrder(order: readonly Waiting[]): void {
  for (const [at, job] of order.entries()) {
    const next = order.slice(at + 1);
    expect(next.every((other) => levelOf(other) >= levelOf(job))).toBe(true);
    const kin = next.filter(({ level, batch }) => level === job.level && batch === job.batch);
    expect(kin.every((other) => isBefore(job, other))).toBe(true);
  }
}

/** One child of each batch for every single before it, and one more of each. */
function assertNotStarved(order: readonly Waiting[], single: Waiting, gaps: number): void {
  const before = order.slice(0, order.indexOf(single)).filter(({ level }) => level === single.level);
  const singles = before.filter(({ batch }) => batch === undefined).length;
  for (const batch of [0, 1, 2, 3])
    expect(before.filter((job) => job.batch === batch).length).toBeLessThanOrEqual(singles + gaps + 1);
}

test("singles of a level keep their order, and each waits for one child of a batch at most and one more for every single before it", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const line = new Line();
      for (const now of steps) {
        if (now.do === "claim") await line.claim();
        if (now.do === "children") for (let n = 0; n < now.count; n += 1) await line.submit(now.batch % 2, now.batch);
        const all = [...line.waiting.values()];
        if (now.do === "cancel") await line.cancel(all[now.pick % all.length]);
        if (now.do === "single") {
          const single = await line.submit(now.level);
          assertNotStarved(await line.order(), single, line.gaps);
        }
      }
      assertOrder(await line.order());
    }),
    { numRuns: 60 },
  );
});

test("between two children of a batch that waits, every other flow has two turns at most, whoever keeps coming", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(6), { minLength: 40, maxLength: 80 }), async (dice) => {
      const line = new Line();
      for (let row = 0; row < 30; row += 1) await line.submit(0, 0);
      const since = new Map<number | undefined, number>();
      for (const thrown of dice) {
        // Several come for each that is served: the pool is too small for all.
        for (let n = 0; n < thrown; n += 1) await line.submit(0, n % 3 === 2 ? 1 : undefined);
        const claimed = await line.claim();
        if (claimed?.batch === 0) since.clear();
        else since.set(claimed?.batch, (since.get(claimed?.batch) ?? 0) + 1);
        const isWaiting = [...line.waiting.values()].some(({ batch }) => batch === 0);
        if (isWaiting) for (const turns of since.values()) expect(turns).toBeLessThanOrEqual(2);
      }
    }),
    { numRuns: 20 },
  );
});

test("a single that comes while a thousand children wait is claimed next, and two batches take turns", async () => {
  const line = new Line();
  for (let row = 0; row < 1_000; row += 1) await line.submit(0, 0);
  for (let n = 0; n < 10; n += 1) await line.claim();
  const single = await line.submit(0);
  expect((await line.order())[0]).toBe(single);
  for (let row = 0; row < 20; row += 1) await line.submit(0, 1);
  const batches = (await line.order()).slice(1, 41).map(({ batch }) => batch);
  for (let at = 0; at < 40; at += 2) expect(new Set(batches.slice(at, at + 2))).toEqual(new Set([0, 1]));
});

test("a thousand singles that were canceled do not put the next one behind a thousand children", async () => {
  const line = new Line();
  for (let row = 0; row < 300; row += 1) await line.submit(0, 0);
  const singles: Waiting[] = [];
  for (let n = 0; n < 300; n += 1) singles.push(await line.submit(0));
  for (const job of singles) await line.cancel(job);
  const last = await line.submit(0);
  expect((await line.order()).indexOf(last)).toBeLessThanOrEqual(1);
});

test("a level that was served and is empty begins where it was, for a batch that goes on and for one that is new", async () => {
  const line = new Line();
  for (let row = 0; row < 50; row += 1) await line.submit(0, 0);
  while (await line.claim());
  for (let row = 0; row < 10; row += 1) await line.submit(0, 1);
  for (let row = 0; row < 10; row += 1) await line.submit(0, 0);
  const batches = (await line.order()).map(({ batch }) => batch);
  for (let at = 0; at < 20; at += 2) expect(new Set(batches.slice(at, at + 2))).toEqual(new Set([0, 1]));
});

test("turns are not used up: an empty level begins anew, and one that never is empty stays inside its level", async () => {
  const line = new Line();
  const [pool, level] = [line.pool, toBullPriority(0)];
  await redis.zadd(`comfyq:singles:${pool}:${level}`, 2 ** 30 + 1, "gone");
  await redis.set(`comfyq:crowd:${pool}:${level}`, 2 ** 30 + 7);
  await line.submit(0);
  const key = `comfyq:jobs-${pool}:prioritized`;
  expect(await redis.zrange(key, 0, "0", "WITHSCORES")).toContain(String(level * 2 ** 32 + 2 ** 28 + 2));
  expect(await redis.exists(`comfyq:crowd:${pool}:${level}`)).toBe(0);
  await redis.zadd(`comfyq:singles:${pool}:${level}`, String(2 ** 31 - 2), String((await line.order())[0]?.id));
  await line.submit(0);
  await line.submit(0);
  expect((await redis.zrange(key, -1, "-1", "WITHSCORES"))[1]).toBe(String((level + 1) * 2 ** 32 - 1));
});

test("a retry, and a job whose moment has come, go before all that wait in their level", async () => {
  await using own = await setup();
  const claimer = await own.claimer();
  const retried = await own.submit();
  const held = await claimOne(claimer);
  const [next] = [await own.submit(), await own.submit()];
  const dueSoon = await own.submit({ run_at: new Date(Date.now() + 300).toISOString() });
  await held.end({ kind: "retry", error: nodeFailed, afterMs: 1, counted: true });
  const delayed = claimer.room.names.bull("jobs-default", "delayed");
  await expect.poll(() => redisOf(claimer.room.redis, delayed)).toBe(true);
  const order = [await claimOne(claimer), await claimOne(claimer), await claimOne(claimer)].map(({ id }) => id);
  expect(order.slice(0, 2).toSorted()).toEqual([retried, dueSoon].toSorted());
  expect(order[2]).toBe(next);
});

/** Is everything that is put off due by Redis's clock? */
async function redisOf(client: Redis, delayed: string): Promise<boolean> {
  const [seconds, micros] = await client.time();
  const nowMs = Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000);
  const scores = (await client.zrange(delayed, 0, "-1", "WITHSCORES")).filter((_, at) => at % 2 === 1);
  return scores.every((score) => Number(score) / 0x1000 <= nowMs);
}
