import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { NewJob, type Progress } from "@comfyq/contract";
import { expect, test, vi } from "vitest";
import { type Claimer, type HeldJob, type Outcome, openProducer } from "../src/index.ts";
import { openLine } from "./line.ts";
import { claimOne, GRAPH, manifestFor, nodeFailed, type Setup, setup } from "./setup.ts";

const FAST = { timeScale: 0.2 }; // lock 2 s, fence 1.6 s

const NO_PROGRESS: Progress = {
  value: 0,
  nodes_done: 0,
  nodes_total: 2,
  current_node: null,
  current_node_class: null,
  step: null,
  steps: null,
  message: null,
};

async function lost(held: HeldJob): Promise<void> {
  if (!held.signal.aborted) await once(held.signal, "abort");
  expect(held.signal.reason).toBe("lock_lost");
}

/** Waits until a lock that nobody renewed would have ended, and the scans would have noticed. */
async function longerThanALock({ room }: Claimer): Promise<void> {
  const { lockMs, stalledScanMs } = room.settings;
  await new Promise((resolve) => setTimeout(resolve, lockMs + 3 * stalledScanMs));
}

const command = ({ room }: Claimer, ...words: readonly [string, ...string[]]) => room.redis.call(...words);

test("a Redis whose memory is full takes no job away from its holder, and hears of the end when there is room", async () => {
  await using house = await setup(FAST);
  const claimer = await house.claimer();
  const id = await house.submit();
  const held = await claimOne(claimer);
  await command(claimer, "CONFIG", "SET", "maxmemory", "1");
  let isWritten = false;
  const writing = held.journal({ prompt_id: "p", stage: "rendering" }).then(() => {
    isWritten = true;
  });
  await longerThanALock(claimer);
  expect(held.isOurs()).toBe(true);
  expect(isWritten).toBe(false); // and so nothing was submitted
  const ending = writing.then(() => held.end({ kind: "succeeded", manifest: manifestFor(held) }));
  await command(claimer, "CONFIG", "SET", "maxmemory", "0");
  expect(await ending).toBe(true);
  expect(await house.producer.read("default", id)).toMatchObject({ status: "succeeded", sealed_epoch: 1, attempts: 1 });
  expect(await house.producer.attempts("default", id)).toMatchObject([{ prompt_id: "p", end: "succeeded" }]);
}, 60_000);

test("a read-only Redis ends every hold in time; afterwards the job is begun again, and no try was counted", async () => {
  await using house = await setup(FAST);
  const claimer = await house.claimer();
  const other = await house.claimer();
  const id = await house.submit();
  const held = await claimOne(claimer);
  await held.journal({ stage: "rendering" });
  await command(other, "REPLICAOF", "127.0.0.1", "1");
  await lost(held);
  await expect(held.journal({ stage: "storing" })).rejects.toBe("lock_lost");
  expect(await held.end({ kind: "succeeded", manifest: manifestFor(held) })).toBe(false);
  await command(other, "REPLICAOF", "NO", "ONE");
  const next = await claimOne(other);
  expect(next).toMatchObject({ id, epoch: 2 });
  await vi.waitFor(
    async () =>
      expect((await house.producer.attempts("default", id))?.at(0)).toMatchObject({
        end: "given_back",
        counted: false,
      }),
    { timeout: 10_000 },
  );
  expect(await next.end({ kind: "succeeded", manifest: manifestFor(next) })).toBe(true);
}, 60_000);

test("many losses of the lock in a row are no deaths: the job is not called poison", async () => {
  await using house = await setup(FAST);
  const claimer = await house.claimer();
  const id = await house.submit();
  for (let epoch = 1; epoch <= 4; epoch += 1) {
    const held = await claimOne(claimer);
    expect(held.epoch).toBe(epoch);
    await claimer.room.redis.del(`${claimer.room.names.bull(claimer.room.names.jobsQueue("default"), id)}:lock`);
    await lost(held);
  }
  const held = await claimOne(claimer);
  expect(held.earlier.map(({ end, counted }) => ({ end, counted }))).toEqual(
    Array.from({ length: 4 }, () => ({ end: "given_back", counted: false })),
  );
  expect(await held.end({ kind: "succeeded", manifest: manifestFor(held) })).toBe(true);
}, 60_000);

/** Keeps every write that was answered, as `everysec` would not. */
const setDurable = (claimer: Claimer) => command(claimer, "CONFIG", "SET", "appendfsync", "always");

test("a Redis that dies and comes back within the lock costs nothing: what was being written is written", async () => {
  await using house = await setup();
  const claimer = await house.claimer();
  await setDurable(claimer);
  const id = await house.submit();
  const held = await claimOne(claimer);
  await house.redis.kill();
  const writing = held.journal({ prompt_id: "p", stage: "rendering" });
  await house.redis.restart();
  await writing;
  await house.redis.kill();
  const ending = held.end({ kind: "succeeded", manifest: manifestFor(held) });
  await house.redis.restart();
  expect(await ending).toBe(true);
  await vi.waitFor(async () =>
    expect(await house.producer.read("default", id)).toMatchObject({ status: "succeeded", attempts: 1 }),
  );
}, 60_000);

test("an end whose answer is lost on the way is an end all the same, whichever answer it was", async () => {
  await using house = await setup();
  await using line = await openLine(house.redis.url);
  const claimer = await house.claimer("far", { redisUrl: line.url });
  const outcomes = [
    (held: HeldJob): Outcome => ({ kind: "succeeded", manifest: manifestFor(held) }),
    (): Outcome => ({ kind: "failed", error: nodeFailed }),
    (): Outcome => ({ kind: "retry", error: nodeFailed, afterMs: 3_600_000, counted: true }),
    (): Outcome => ({ kind: "give_back", reason: "draining" }),
  ];
  for (const outcomeOf of outcomes)
    for (let nth = 1; nth <= 4; nth += 1) {
      const id = await house.submit();
      const held = await claimOne(claimer);
      line.loseAnswer(nth);
      const outcome = outcomeOf(held);
      expect(await held.end(outcome)).toBe(true);
      expect(held.signal.aborted).toBe(false);
      const status = outcome.kind === "succeeded" || outcome.kind === "failed" ? outcome.kind : "queued";
      expect(await house.producer.read("default", id)).toMatchObject({ status, attempts: 1 });
      if (status === "queued") await house.producer.cancel("default", id);
    }
}, 60_000);

test("no wait outlives the lock while Redis is dead: journal and end say so, and the job is begun again", async () => {
  await using house = await setup(FAST);
  const claimer = await house.claimer();
  await setDurable(claimer);
  const id = await house.submit();
  const held = await claimOne(claimer);
  await house.redis.kill();
  await expect(held.journal({ prompt_id: "p" })).rejects.toBe("lock_lost");
  expect(await held.end({ kind: "failed", error: nodeFailed })).toBe(false);
  await expect(claimer.standing(id)).rejects.toMatchObject({ code: "unavailable" });
  await expect(claimer.neighbours()).rejects.toMatchObject({ code: "unavailable" });
  await house.redis.restart();
  const next = await claimOne(claimer);
  expect(next).toMatchObject({ id, epoch: 2, earlier: [{ epoch: 1, end: "given_back" }] });
}, 60_000);

test("a Redis that was emptied ends every hold, and what its holders still say leaves nothing behind", async () => {
  await using house = await setup(FAST);
  const claimer = await house.claimer();
  const id = await house.submit();
  const held = await claimOne(claimer);
  await command(claimer, "FLUSHALL");
  held.report({ ...NO_PROGRESS, value: 0.5 });
  await expect(held.journal({ stage: "rendering" })).rejects.toBe("lock_lost");
  await lost(held);
  expect(await held.end({ kind: "succeeded", manifest: manifestFor(held) })).toBe(false);
  await claimer.close();
  const { room } = await house.claimer();
  expect((await room.redis.keys("*")).filter((key) => key.includes(id))).toEqual([]);
}, 60_000);

test("a claimer can be closed while Redis is dead", async () => {
  await using house: Setup = await setup(FAST);
  const claimer = await house.claimer();
  const id = await house.submit();
  const held = await claimOne(claimer);
  const claiming = [claimer.claim({ first: [id] })];
  await house.redis.kill();
  claiming.push(claimer.claim());
  await claimer.stopClaiming();
  claiming.push(claimer.claim());
  await claimer.close();
  claiming.push(claimer.claim());
  expect(await Promise.all(claiming)).toEqual([undefined, undefined, undefined, undefined]);
  await lost(held);
}, 60_000);

test("a worker that takes no more jobs can still end the one it has", async () => {
  await using house = await setup();
  const claimer = await house.claimer();
  const id = await house.submit();
  const held = await claimOne(claimer);
  await claimer.stopClaiming();
  await held.journal({ stage: "storing" });
  expect(await held.end({ kind: "succeeded", manifest: manifestFor(held) })).toBe(true);
  expect(await house.producer.read("default", id)).toMatchObject({ status: "succeeded" });
});

test("a producer whose first words with Redis were lost takes jobs as soon as Redis answers", async () => {
  await using house = await setup();
  await using line = await openLine(house.redis.url);
  const producer = await openProducer({ redisUrl: line.url });
  try {
    line.freeze("all");
    const submit = (webhook: object) =>
      producer.submit({
        id: randomUUID(),
        tenant: "default",
        job: NewJob.parse({ workflow: GRAPH, ...webhook }),
        bodySha256: "0".repeat(64),
      });
    const told = { webhook: { url: "https://example.com/" } };
    await Promise.all([told, {}].map((body) => expect(submit(body)).rejects.toMatchObject({ code: "unavailable" })));
    line.thaw();
    for (const body of [told, {}]) await vi.waitFor(() => submit(body), { timeout: 10_000 });
  } finally {
    await producer.close();
  }
});
