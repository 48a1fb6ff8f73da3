import { randomUUID } from "node:crypto";
import { jobFailure, NewJob, type NewJobBody } from "@comfyq/contract";
import { expect, test, vi } from "vitest";
import { claimAnswerable } from "../src/answers.ts";
import type { HeldJob } from "../src/heldJob.ts";
import { type Answer, type Claimer, dropEntry, openErrands, type QueueRoom, readEntry } from "../src/index.ts";
import { accepted } from "./sending.ts";
import { beatAs, claimAmong, claimOne, endLock, GRAPH, manifestFor, type Setup, setup } from "./setup.ts";

vi.setConfig({ testTimeout: 30_000 });

/** Waits are short, so that what was put aside comes back soon. */
const FAST = { timeScale: 0.1 };
const KIND = "instances of one kind";
const LIMITS = { ttlMs: 60_000, maxEntries: 100, maxBytes: 1_000_000 };

interface Cached {
  readonly house: Setup;
  submit(subject: string, body?: Partial<NewJobBody>, tenant?: string): Promise<string>;
  worker(id: string, limits?: typeof LIMITS): Promise<Claimer>;
  /** Claims as a worker whose instance is of that kind does, until there is a job. */
  claim(claimer: Claimer): Promise<HeldJob>;
  /** Claims once. */
  look(claimer: Claimer): Promise<HeldJob | undefined>;
}

async function open(): Promise<Cached & AsyncDisposable> {
  const house = await setup(FAST);
  const ask = { fingerprint: KIND };
  return {
    house,
    submit: async (subject, body = {}, tenant = "default") => {
      const id = randomUUID();
      const job = NewJob.parse({ workflow: GRAPH, cache: "use", ...body });
      await house.producer.submit({ id, tenant, job, bodySha256: "0".repeat(64), subject });
      return id;
    },
    worker: async (id, limits = LIMITS) => {
      const claimer = await house.claimer(id, { cacheLimits: limits });
      await beatAs(claimer, id, { fingerprint: KIND });
      return claimer;
    },
    claim: (claimer) => claimOne(claimer, ask),
    look: (claimer) => claimer.claim(ask),
    [Symbol.asyncDispose]: () => house[Symbol.asyncDispose](),
  };
}

/** What is to be answered, as a dispatcher hears of it. */
async function listen({ redis }: Setup) {
  const heard: Answer[] = [];
  const errands = await openErrands({
    redisUrl: redis.url,
    ...FAST,
    run: {
      settlement: async () => {},
      delivery: async () => accepted,
      errand: async () => {},
      tick: async () => {},
      answer: async (answer) => void heard.push(answer),
    },
  });
  return { heard, jobs: () => heard.map(({ jobId }) => jobId), [Symbol.asyncDispose]: () => errands.close() };
}

const succeed = (held: HeldJob) => held.end({ kind: "succeeded", manifest: manifestFor(held) });
const stateOf = ({ room }: Claimer, id: string) => room.jobs("default").getJobState(id);
const leftOver = async ({ room }: Claimer) =>
  (await room.redis.keys("*")).filter((key) => /:(flight|followers):/.test(key));
const by = () => ({ name: "test", nowMs: Date.now() });

test("of identical jobs one is lent, the others are put aside, and all of them are to be answered when it has succeeded", async () => {
  await using cached = await open();
  await using dispatcher = await listen(cached.house);
  const [one, two] = [await cached.worker("one"), await cached.worker("two")];
  const ids = await Promise.all(Array.from({ length: 5 }, () => cached.submit("same")));
  const leader = await cached.claim(one);
  for (const _ of ids.slice(1)) expect(await cached.look(two)).toBeUndefined();
  const others = ids.filter((id) => id !== leader.id);
  expect(await Promise.all(others.map((id) => stateOf(two, id)))).toEqual(others.map(() => "delayed"));
  await succeed(leader);
  await vi.waitFor(() => expect(dispatcher.jobs().toSorted()).toEqual(others.toSorted()));
  expect(await leftOver(one)).toEqual([]);
  for (const id of others) expect(await cached.house.producer.read("default", id)).toMatchObject({ attempts: 0 });
});

test("a job is shared by nobody else: not by another tenant's, another subject's, another kind of instance's, or one that did not ask", async () => {
  await using cached = await open();
  const worker = await cached.worker("one");
  const leader = await cached.submit("same").then(() => cached.claim(worker));
  await cached.submit("same", {}, "other");
  await cached.submit("another");
  await cached.submit("same", { cache: "off" });
  for (let n = 0; n < 3; n += 1) expect(await cached.look(worker)).toBeDefined();
  await cached.submit("same");
  expect(await worker.claim({ fingerprint: "instances of another kind" })).toBeDefined();
  await succeed(leader);
});

test("a job whose result is there is not lent, but answered wherever it stands; taken out of the queue once, and ended", async () => {
  await using cached = await open();
  await using dispatcher = await listen(cached.house);
  const worker = await cached.worker("one");
  await cached.submit("same");
  await succeed(await cached.claim(worker));
  const { producer } = cached.house;
  const next = await cached.submit("same");
  const shared = { tenant: "default", pool: "default", subject: "same" };
  expect(await producer.share({ ...shared, id: next })).toBe(true);
  await vi.waitFor(() => expect(dispatcher.jobs()).toEqual([next]));
  const [taken, again] = await Promise.all([
    claimAnswerable(worker.room, { tenant: "default", jobId: next }, by()),
    claimAnswerable(worker.room, { tenant: "default", jobId: next }, by()),
  ]);
  const answerable = taken ?? again;
  expect([taken, again].filter((each) => each !== undefined)).toHaveLength(1);
  const manifest = { ...manifestFor({ id: next, epoch: answerable?.epoch ?? 0 } as HeldJob), cached: true };
  expect(await answerable?.end(manifest)).toBe(true);
  expect(await producer.read("default", next)).toMatchObject({ status: "succeeded", cached: true, attempts: 0 });
});

test("who answers and dies loses the job to a worker, which finds the result; late, it ends nothing", async () => {
  await using cached = await open();
  await using dispatcher = await listen(cached.house);
  const worker = await cached.worker("one");
  await cached.submit("same");
  await succeed(await cached.claim(worker));
  const id = await cached.submit("same");
  const ghost = await claimAnswerable(worker.room, { tenant: "default", jobId: id }, by());
  await endLock(worker, id);
  while (!dispatcher.jobs().includes(id)) expect(await cached.look(worker)).toBeUndefined();
  const next = await vi.waitUntil(() => claimAnswerable(worker.room, { tenant: "default", jobId: id }, by()));
  expect(await ghost?.end(manifestFor({ id, epoch: ghost.epoch } as HeldJob))).toBe(false);
  expect(next.epoch).toBeGreaterThan(ghost?.epoch ?? Number.POSITIVE_INFINITY);
  expect(await next.end(manifestFor({ id, epoch: next.epoch } as HeldJob))).toBe(true);
});

test("a job that nobody comes to answer is rendered after all", async () => {
  await using cached = await open();
  const worker = await cached.worker("one");
  await cached.submit("same");
  await succeed(await cached.claim(worker));
  const id = await cached.submit("same");
  const held = await cached.claim(worker);
  expect(held.id).toBe(id);
  expect((await held.cache?.board("same"))?.kind).toBe("lead");
  expect(await succeed(held)).toBe(true);
});

test("when the one that renders fails, is tried again or is canceled, the next one renders, and then the others", async () => {
  await using cached = await open();
  await using dispatcher = await listen(cached.house);
  const [one, two] = [await cached.worker("one"), await cached.worker("two")];
  const ids = await Promise.all(Array.from({ length: 4 }, () => cached.submit("same")));
  const order: string[] = [];
  const error = jobFailure("node_failed", "node 2 raised ValueError");
  const ends = [
    { kind: "failed", error },
    { kind: "failed", error: jobFailure("canceled", "Canceled while it ran") },
    { kind: "failed", error },
  ] as const;
  for (const end of ends) {
    const held = await claimWithin(cached, [one, two]);
    order.push(held.id);
    await held.end(end);
  }
  const last = await claimWithin(cached, [one, two]);
  expect(new Set([...order, last.id])).toEqual(new Set(ids));
  await succeed(last);
  expect(dispatcher.heard).toEqual([]);
  expect(await leftOver(one)).toEqual([]);
});

/** Several workers claim beside each other, each with an instance of the same kind. */
function claimWithin(cached: Cached, claimers: readonly Claimer[]): Promise<HeldJob> {
  return claimAmong(...claimers.map((claimer) => ({ ...claimer, claim: () => cached.look(claimer) })));
}

test("a leader whose worker died renders again and leads on: no other one renders meanwhile", async () => {
  await using cached = await open();
  await using dispatcher = await listen(cached.house);
  const [one, two] = [await cached.worker("one"), await cached.worker("two")];
  await cached.submit("same");
  const dead = await cached.claim(one);
  const follower = await cached.submit("same");
  expect(await cached.look(two)).toBeUndefined();
  await one.close();
  await endLock(two, dead.id);
  const held = await cached.claim(two);
  expect(held.id).toBe(dead.id);
  await succeed(held);
  await vi.waitFor(() => expect(dispatcher.jobs()).toEqual([follower]));
});

test("a leader that does not come back is followed by the next one", async () => {
  await using cached = await open();
  const [one, two] = [await cached.worker("one"), await cached.worker("two")];
  await cached.submit("same");
  const lost = await cached.claim(one);
  const follower = await cached.submit("same");
  expect(await cached.look(two)).toBeUndefined();
  await lost.end({ kind: "give_back", reason: "its worker is stopping" });
  await two.room.redis.zrem(two.room.names.bull("jobs-default", "prioritized"), lost.id); // as if nobody ever claimed it
  expect((await cached.claim(two)).id).toBe(follower);
});

test("refresh renders beside others, and what it made takes the place of what was there", async () => {
  await using cached = await open();
  const worker = await cached.worker("one");
  await cached.submit("same");
  const old = await cached.claim(worker);
  const refresh = await cached.submit("same", { cache: "refresh" });
  const held = await cached.claim(worker);
  expect(held.id).toBe(refresh);
  await succeed(old);
  await succeed(held);
  expect(await entryIn(worker)).toMatchObject({ job_id: refresh });
});

test("the least recently used result makes room, one too large is kept for nobody, and an older one is not forgotten for a newer", async () => {
  await using cached = await open();
  const worker = await cached.worker("one", { ...LIMITS, maxEntries: 2 });
  const make = async (subject: string) => {
    await cached.submit(subject);
    await succeed(await cached.claim(worker));
  };
  await make("a");
  await make("b");
  const use = await cached.submit("a");
  expect(await cached.house.producer.share({ id: use, tenant: "default", pool: "default", subject: "a" })).toBe(true);
  await make("c");
  const kept = async () => (await worker.room.redis.keys("*:cached:*")).length;
  expect(await kept()).toBe(2);
  const again = await cached.submit("b");
  expect(await cached.house.producer.share({ id: again, tenant: "default", pool: "default", subject: "b" })).toBe(
    false,
  );
  const small = await cached.worker("small", { ...LIMITS, maxBytes: 0 });
  await cached.house.producer.cancel("default", use);
  await small.room.redis.flushdb();
  await cached.submit("large");
  const held = await cached.claim(small);
  const large = { node_id: "2", name: "x.png", type: "image", content_type: "image/png", size_bytes: 1 } as const;
  const outputs = [{ ...large, sha256: "0".repeat(64), key: `jobs/${held.id}/1/x.png` }];
  await held.end({ kind: "succeeded", manifest: { ...manifestFor(held), outputs } });
  expect(await kept()).toBe(0);
});

test("a result is forgotten when its files are gone, but not one that has taken its place", async () => {
  await using cached = await open();
  const worker = await cached.worker("one");
  await cached.submit("same");
  await succeed(await cached.claim(worker));
  const before = await entryIn(worker);
  await cached.submit("same", { cache: "refresh" });
  await succeed(await cached.claim(worker));
  const key = await keyIn(worker);
  if (before) await dropEntry(worker.room, { tenant: "default", key }, before);
  const after = await entryIn(worker);
  expect(after?.job_id).not.toBe(before?.job_id);
  if (after) await dropEntry(worker.room, { tenant: "default", key }, after);
  expect(await entryIn(worker)).toBeUndefined();
});

async function keyIn({ room }: Claimer): Promise<string> {
  const [name = ""] = await room.redis.keys("*:cached:default:*");
  return name.split(":").at(-1) ?? "";
}

async function entryIn(claimer: Claimer) {
  const room: QueueRoom = claimer.room;
  return readEntry(room, { tenant: "default", key: await keyIn(claimer) });
}

test("a job that waits for another's result can be canceled, and a job for later is not answered before its time", async () => {
  await using cached = await open();
  const [one, two] = [await cached.worker("one"), await cached.worker("two")];
  await cached.submit("same");
  const leader = await cached.claim(one);
  const follower = await cached.submit("same");
  expect(await cached.look(two)).toBeUndefined();
  expect(await cached.house.producer.cancel("default", follower)).toMatchObject({ status: "canceled" });
  await succeed(leader);
  const later = await cached.submit("same", { run_at: new Date(Date.now() + 3_600_000).toISOString() });
  expect(await claimAnswerable(two.room, { tenant: "default", jobId: later }, by())).toBeUndefined();
  expect(await claimAnswerable(two.room, { tenant: "other", jobId: later }, by())).toBeUndefined();
});

test("the first of those who wait is woken when the one that renders has failed, and only the first", async () => {
  await using cached = await open();
  const [one, two] = [await cached.worker("one"), await cached.worker("two")];
  await cached.submit("same");
  const leader = await cached.claim(one);
  const waiting = [await cached.submit("same"), await cached.submit("same"), await cached.submit("same")];
  for (const _ of waiting) expect(await cached.look(two)).toBeUndefined();
  // Too long for any of them to wake by itself.
  const queue = two.room.names.bull("jobs-default", "delayed");
  for (const id of waiting) await two.room.redis.zadd(queue, "XX", (Date.now() + 600_000) * 0x1000, id);
  await leader.end({ kind: "failed", error: jobFailure("node_failed", "node 2 raised ValueError") });
  expect(await Promise.all(waiting.map((id) => stateOf(two, id)))).toEqual(["waiting", "delayed", "delayed"]);
});

test("a job that is canceled while it is being answered ends as canceled", async () => {
  await using cached = await open();
  const worker = await cached.worker("one");
  const id = await cached.submit("same");
  const answerable = await claimAnswerable(worker.room, { tenant: "default", jobId: id }, by());
  expect(await cached.house.producer.cancel("default", id)).toMatchObject({ status: "canceling" });
  await vi.waitUntil(() => answerable?.signal.aborted);
  await answerable?.letGo(0);
  expect(await cached.house.producer.read("default", id)).toMatchObject({ status: "canceled", attempts: 0 });
});

test("a job that could not be answered just now is given back, and comes before all others", async () => {
  await using cached = await open();
  const worker = await cached.worker("one");
  const id = await cached.submit("same", { priority: -5 });
  await cached.submit("another", { priority: 5 });
  const answerable = await claimAnswerable(worker.room, { tenant: "default", jobId: id }, by());
  await answerable?.letGo(0);
  expect((await cached.claim(worker)).id).toBe(id);
});
