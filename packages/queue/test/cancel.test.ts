import { isTerminal, type JobEvent, type JobFacts, type JobStatus, jobFailure } from "@comfyq/contract";
import { expect, test, vi } from "vitest";
import { type Claimer, sweepExpired } from "../src/index.ts";
import { noteWish, withdraw } from "../src/scripts.ts";
import { claimOne, manifestFor, nodeFailed, setup } from "./setup.ts";

test("a waiting job is canceled at once, and its telling is freed", async () => {
  await using house = await setup();
  const id = await house.submit({ webhook: { url: "https://example.com/hook" } });
  expect(await house.producer.cancel("default", id)).toMatchObject({ status: "canceled" });
  const { room } = await house.claimer();
  expect(await room.settlements.getJobState(id)).toBe("waiting");
  expect(await room.redis.scard(room.names.withdrawn)).toBe(0);
  expect(await house.producer.cancel("default", id)).toMatchObject({ status: "canceled" });
});

test("a running job becomes canceling, its holder hears it, and it ends as canceled", async () => {
  await using house = await setup();
  const id = await house.submit();
  const held = await claimOne(await house.claimer());
  await held.journal({ instance: "i" });
  expect(await house.producer.cancel("default", id)).toMatchObject({ status: "canceling" });
  await vi.waitFor(() => expect(held.signal.aborted).toBe(true));
  expect(held.signal.reason).toBe("canceled");
  await held.end({ kind: "failed", error: jobFailure("canceled", "stopped") });
  expect(await house.producer.read("default", id)).toMatchObject({ status: "canceled", error: null });
});

test("a job that ended cannot be canceled", async () => {
  await using house = await setup();
  const id = await house.submit();
  const held = await claimOne(await house.claimer());
  await held.end({ kind: "succeeded", manifest: manifestFor(held) });
  await expect(house.producer.cancel("default", id)).rejects.toMatchObject({ code: "conflict" });
});

/** Up to a few round trips to Redis, so that two racers meet at another point each round. */
async function jitter(): Promise<void> {
  const endsAtMs = performance.now() + Math.random() * 4;
  while (performance.now() < endsAtMs) await new Promise((resolve) => setImmediate(resolve));
}

test("cancel and completion race 500 times: one terminal status each, told once, for good", async () => {
  await using house = await setup();
  const claimer = await house.claimer();
  const ends = new Map<string, number>();
  const ids: string[] = [];
  const shown: (JobFacts | undefined)[] = [];
  for (let round = 0; round < 500; round += 1) {
    const id = await house.submit({ webhook: { url: "https://example.com/hook" } });
    const held = await claimOne(claimer);
    expect(held.id).toBe(id);
    const complete = async () => {
      await jitter();
      // A worker that hears of it in time ends the job as canceled.
      const isCanceled = held.signal.aborted;
      if (isCanceled) return held.end({ kind: "failed", error: jobFailure("canceled", "stopped") });
      return held.end({ kind: "succeeded", manifest: manifestFor(held) });
    };
    const cancel = async () => {
      await jitter();
      await house.producer
        .cancel("default", id)
        .catch((error: { code: string }) => expect(error.code).toBe("conflict"));
    };
    const [ended] = await Promise.all([complete(), cancel()]);
    expect(ended).toBe(true);
    const job = await house.producer.read("default", id);
    // A wish that came too late is not granted: the work was done and sealed.
    expect(["succeeded", "canceled"]).toContain(job?.status);
    ends.set(String(job?.status), (ends.get(String(job?.status)) ?? 0) + 1);
    ids.push(id);
    shown.push(job);
  }
  expect(ends.size).toBe(2); // both won at times, or there was no race
  for (const [at, id] of ids.entries()) {
    expect(await house.producer.read("default", id)).toEqual(shown[at]);
    const statuses = await statusesOf(claimer, id);
    expect(statuses.filter(isTerminal)).toEqual([shown[at]?.status]);
    expect(statuses.at(-1)).toBe(shown[at]?.status); // and nothing after it
    expect(await claimer.room.settlements.getJobState(id)).toBe("waiting"); // freed
  }
}, 60_000);

test("a job given back while it is canceled ends canceled each time, once, whichever comes first", async () => {
  await using house = await setup();
  const claimer = await house.claimer();
  const outcomes = [
    { kind: "give_back", reason: "draining" },
    { kind: "retry", error: nodeFailed, afterMs: 3_600_000, counted: true },
  ] as const;
  for (let round = 0; round < 300; round += 1) {
    const id = await house.submit({ webhook: { url: "https://example.com/hook" } });
    const held = await claimOne(claimer);
    const giveBack = async () => {
      await jitter();
      expect(await held.end(outcomes[round % 2] ?? outcomes[0])).toBe(true);
    };
    const cancel = async () => {
      await jitter();
      await house.producer.cancel("default", id);
    };
    await Promise.all([giveBack(), cancel()]);
    // Nobody claims meanwhile, and no sweeper runs: whoever came second must have seen to it.
    expect(await house.producer.read("default", id)).toMatchObject({ status: "canceled" });
    const statuses = await statusesOf(claimer, id);
    expect(statuses.filter(isTerminal)).toEqual(["canceled"]);
    expect(statuses.at(-1)).toBe("canceled");
    expect(await claimer.room.settlements.getJobState(id)).toBe("waiting");
    expect(await claimer.room.redis.scard(claimer.room.names.withdrawn)).toBe(0);
  }
}, 60_000);

test("a job whose worker is lost before it could cancel it stays canceling, and the sweeper ends it", async () => {
  await using house = await setup({ timeScale: 0.2 });
  const lost = await house.claimer("lost");
  const id = await house.submit();
  const held = await claimOne(lost);
  expect(await house.producer.cancel("default", id)).toMatchObject({ status: "canceling" });
  expect(await sweepExpired(lost.room)).toBe(0); // its worker has it
  await lost.close();
  const { room, ...scanner } = await house.claimer("scanner"); // never claims, only looks for lost locks
  await vi.waitFor(async () => expect(await scanner.standing(id)).toEqual({ kind: "waiting" }), { timeout: 20_000 });
  expect(await house.producer.read("default", id)).toMatchObject({ status: "canceling" });
  await vi.waitFor(async () => expect(await sweepExpired(room)).toBe(1), { timeout: 20_000 });
  expect(await house.producer.read("default", id)).toMatchObject({ status: "canceled", attempts: 1 });
  expect(await room.redis.zscore(room.names.expiring, id)).toBeNull();
  expect(held.isOurs()).toBe(false);
}, 60_000);

test("a withdrawal that a crash cut in half is completed by the sweeper, and told", async () => {
  await using house = await setup();
  const { room } = await house.claimer();
  const id = await house.submit({ webhook: { url: "https://example.com/hook" } });
  await withdraw(room.redis, room.names, { id, pool: "default", reason: "cancel_requested_at_ms", atMs: Date.now() });
  expect(await room.settlements.getJobState(id)).toBe("waiting-children"); // nobody is told yet
  await sweepExpired(room);
  expect(await room.settlements.getJobState(id)).toBe("waiting");
  expect(await house.producer.read("default", id)).toMatchObject({ status: "canceled" });
});

test("a job that has expired stays so: a cancel is too late, even while its expiry is but half done", async () => {
  await using house = await setup();
  const { room } = await house.claimer();
  const id = await house.submit({ expires_in_s: 1 });
  await withdraw(room.redis, room.names, { id, pool: "default", reason: "expired_at_ms", atMs: Date.now() });
  for (let n = 0; n < 2; n += 1) {
    await expect(house.producer.cancel("default", id)).rejects.toMatchObject({ code: "conflict" });
    expect(await house.producer.read("default", id)).toMatchObject({ status: "expired" });
    await sweepExpired(room);
  }
});

test("a wish to cancel a job that has ended is not even noted: nothing follows its terminal status", async () => {
  await using house = await setup();
  const claimer = await house.claimer();
  const id = await house.submit();
  const held = await claimOne(claimer);
  await held.end({ kind: "succeeded", manifest: manifestFor(held) });
  const wish = { id, pool: "default", atMs: Date.now() };
  const data = { status: "canceling", stage: null, attempt: 1, error: null } as const;
  expect(await noteWish(claimer.room, { ...wish, event: { event: "status", data } })).toBe(false);
  expect((await statusesOf(claimer, id)).at(-1)).toBe("succeeded");
  expect(await claimer.room.redis.hexists(claimer.room.names.record(id), "cancel_requested_at_ms")).toBe(0);
});

test("cancel and expiry race 100 times: what was told stays", async () => {
  await using house = await setup();
  const claimer = await house.claimer();
  const { room } = claimer;
  for (let round = 0; round < 100; round += 1) {
    const id = await house.submit({ expires_in_s: 3_600 });
    await room.redis.zadd(room.names.expiring, 1, id);
    const expire = async () => {
      await jitter();
      await sweepExpired(room);
    };
    const cancel = async () => {
      await jitter();
      await house.producer
        .cancel("default", id)
        .catch((error: { code: string }) => expect(error.code).toBe("conflict"));
    };
    await Promise.all([expire(), cancel()]);
    const status = (await house.producer.read("default", id))?.status;
    expect((await statusesOf(claimer, id)).filter(isTerminal)).toEqual([status]);
  }
}, 60_000);

async function statusesOf({ room }: Claimer, id: string): Promise<readonly JobStatus[]> {
  const entries = await room.redis.xrange(room.names.events(id), "-", "+");
  const events = entries.map(([, fields]) => JSON.parse(fields[1] ?? "{}") as JobEvent); // as jobEvents.ts wrote them
  return events.flatMap((event) => (event.event === "status" ? [event.data.status] : []));
}

test("a job canceled while its lost worker still holds the lock is not rendered by the next one", async () => {
  await using house = await setup();
  const id = await house.submit();
  const claimer = await house.claimer();
  const held = await claimOne(claimer);
  await house.producer.cancel("default", id);
  await held.end({ kind: "give_back", reason: "as if its worker was lost" });
  expect(await claimer.claim()).toBeUndefined();
  expect(await house.producer.read("default", id)).toMatchObject({ status: "canceled" });
});
