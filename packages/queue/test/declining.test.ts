import { jobFailure } from "@comfyq/contract";
import { expect, test, vi } from "vitest";
import type { Claimer, HeldJob, NotTaken } from "../src/index.ts";
import { openLine } from "./line.ts";
import { beatAs, claimAmong, claimOne, manifestFor, type Setup, setup, untilSomebodyWaits } from "./setup.ts";

const FAST = { timeScale: 0.2 }; // lock 2 s, patience for a home 3 s

/** A claimer that notes what it did not take. */
async function watched(house: Setup, workerId: string) {
  const notTaken: NotTaken[] = [];
  const claimer = await house.claimer(workerId, { onNotTaken: (job) => notTaken.push(job) });
  return { claimer, notTaken };
}

/** A job whose attempt on `workerId` has left a prompt behind, and nobody's now. */
async function leaveJob(house: Setup, claimer: Claimer, body = {}): Promise<string> {
  const id = await house.submit(body);
  const held = await claimOne(claimer);
  expect(held.id).toBe(id);
  await held.journal({ prompt_id: "p", stage: "rendering" });
  await held.end({ kind: "give_back", reason: "its worker was lost" });
  return id;
}

async function finish(held: HeldJob): Promise<void> {
  expect(await held.end({ kind: "succeeded", manifest: manifestFor(held) })).toBe(true);
}

test("a job whose prompt may run at a living worker's ComfyUI is left to that worker", async () => {
  await using house = await setup();
  const home = await house.claimer("home");
  await beatAs(home, "home");
  const id = await leaveJob(house, home);
  const { claimer: other, notTaken } = await watched(house, "other");
  expect(await other.claim()).toBeUndefined();
  expect(notTaken).toEqual([{ jobId: id, verdict: { kind: "decline", why: "home" } }]);
  // To the customer nothing has happened: it waits, and only the first start counts as one.
  expect(await house.producer.read("default", id)).toMatchObject({ status: "queued", attempts: 1 });
  const held = await claimOne(home);
  expect(held).toMatchObject({ id, earlier: [{ prompt_id: "p", end: "given_back" }] });
  await finish(held);
});

test("a declined job comes back as the next in line, before the others of its priority, and keeps its priority", async () => {
  await using house = await setup();
  const home = await house.claimer("home");
  await beatAs(home, "home");
  const declined = await leaveJob(house, home);
  const others = [await house.submit(), await house.submit(), await house.submit()];
  const { claimer: other, notTaken } = await watched(house, "other");
  const first = await claimOne(other);
  expect(notTaken.map(({ jobId }) => jobId)).toEqual([declined]);
  expect(first.id).toBe(others[0]);
  const { room } = home;
  const dueAtMs = async () => {
    const score = await room.redis.zscore(room.names.bull(room.names.jobsQueue("default"), "delayed"), declined);
    return Number(score) / 0x1000;
  };
  await vi.waitFor(async () => expect(await dueAtMs()).toBeLessThan(Date.now()));
  const held = await claimOne(home);
  expect(held.id).toBe(declined);
  const urgent = await house.submit({ priority: 10 });
  await held.end({ kind: "give_back", reason: "once more" });
  const order: string[] = [];
  for (let n = 0; n < 4; n += 1) {
    const next = await claimOne(home);
    order.push(next.id);
    await finish(next);
  }
  expect(order).toEqual([urgent, declined, ...others.slice(1)]);
  await finish(first);
});

test("an idle worker that waits for a job is woken when another worker declines one", async () => {
  await using house = await setup({ timeScale: 10 }); // who is not woken looks for itself after 50 s
  await using line = await openLine(house.redis.url);
  const home = await house.claimer("home");
  await beatAs(home, "home");
  const other = await house.claimer("other", { redisUrl: line.url });
  const id = await leaveJob(house, home);
  line.freeze("answers");
  const declining = other.claim();
  await vi.waitFor(async () => expect(await home.standing(id)).toMatchObject({ kind: "held" }));
  const waiting = claimOne(home);
  await untilSomebodyWaits(home);
  line.thaw();
  expect(await declining).toBeUndefined();
  const held = await waiting;
  expect(held.id).toBe(id);
  await finish(held);
}, 30_000);

test("nobody waits for ever for a home that does not come: then the job is taken", async () => {
  await using house = await setup(FAST);
  const home = await house.claimer("home");
  const id = await leaveJob(house, home);
  await beatAs(home, "home");
  const keepAlive = setInterval(() => void beatAs(home, "home"), 500);
  const { claimer: other, notTaken } = await watched(house, "other");
  const held = await claimOne(other);
  clearInterval(keepAlive);
  expect(held).toMatchObject({ id, earlier: [{ end: "given_back" }] });
  expect(notTaken.length).toBeGreaterThan(1);
  expect(new Set(notTaken.map(({ verdict }) => verdict.kind))).toEqual(new Set(["decline"]));
  expect(await house.producer.attempts("default", id)).toHaveLength(2); // declining left no trace
  await finish(held);
}, 60_000);

test("after Redis was away, a job is left to its home for a moment even when no beat of it is heard yet", async () => {
  await using house = await setup(FAST);
  const home = await house.claimer("home");
  const id = await leaveJob(house, home);
  const { claimer: other, notTaken } = await watched(house, "other");
  const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
  process.kill(house.redis.pid, "SIGSTOP");
  await wait(3 * other.room.settings.renewMs);
  process.kill(house.redis.pid, "SIGCONT");
  await vi.waitFor(
    async () => {
      await other.claim();
      expect(notTaken.at(0)).toEqual({ jobId: id, verdict: { kind: "decline", why: "home" } });
    },
    { timeout: 20_000 },
  );
  const held = await claimOne(home);
  expect(held.id).toBe(id);
  await finish(held);
}, 60_000);

test("a job that failed for want of something here goes to a worker that has not failed it", async () => {
  await using house = await setup(FAST);
  const { claimer: poor, notTaken } = await watched(house, "poor");
  const rich = await house.claimer("rich");
  await beatAs(poor, "poor");
  await beatAs(rich, "rich");
  const id = await house.submit();
  const lacking = jobFailure("model_missing", "no such checkpoint");
  await (await claimOne(poor)).end({ kind: "retry", error: lacking, afterMs: 0, counted: false });
  const held = await claimAmong(poor, rich);
  expect(held).toMatchObject({ id, epoch: expect.any(Number), earlier: [{ instance: "i-poor", counted: false }] });
  await held.journal({ stage: "rendering" });
  expect(await house.producer.read("default", id)).toMatchObject({ instance: "i-rich", attempts: 2 });
  expect(notTaken.every(({ verdict }) => verdict.kind === "decline" && verdict.why === "elsewhere")).toBe(true);
  await finish(held);
}, 30_000);

test("without a worker that could do better, the job is tried again here", async () => {
  await using house = await setup();
  const { claimer: poor, notTaken } = await watched(house, "poor");
  await beatAs(poor, "poor");
  await beatAs(poor, "sick", { state: "quarantined" });
  await beatAs(poor, "away", { state: "unready" });
  await beatAs(poor, "stranger", { pool: "big" });
  const id = await house.submit();
  const lacking = jobFailure("model_missing", "no such checkpoint");
  await (await claimOne(poor)).end({ kind: "retry", error: lacking, afterMs: 0, counted: false });
  expect((await claimOne(poor)).id).toBe(id);
  expect(notTaken).toEqual([]);
});

test("a job that expired while the sweeper was down is not begun", async () => {
  await using house = await setup();
  const { claimer, notTaken } = await watched(house, "w");
  const id = await house.submit({ expires_in_s: 3_600 });
  const fresh = await house.submit({ expires_in_s: 3_600 });
  const created = Number(await claimer.room.redis.hget(claimer.room.names.record(id), "created_at_ms"));
  await claimer.room.redis.hset(claimer.room.names.record(id), "created_at_ms", created - 3_600_000);
  expect((await claimOne(claimer)).id).toBe(fresh);
  expect(notTaken).toMatchObject([{ jobId: id, verdict: { kind: "end", error: { code: "expired" } } }]);
  expect(await house.producer.read("default", id)).toMatchObject({
    status: "expired",
    attempts: 0,
    error: { code: "expired" },
  });
});

test("before a job is ended that was begun before, what it left running can be stopped", async () => {
  await using house = await setup(FAST);
  const asked: unknown[] = [];
  const doomed = await house.claimer("doomed");
  const id = await house.submit();
  const held = await claimOne(doomed);
  await held.journal({ prompt_id: "p", stage: "rendering" });
  await house.producer.cancel("default", id);
  await doomed.close(); // its ghost says nothing any more
  const next = await house.claimer("next", {
    beforeEnding: async (jobId, earlier) => {
      asked.push({ jobId, prompts: earlier.map(({ prompt_id }) => prompt_id), status: await statusOf(house, id) });
      throw new Error("its instance cannot be reached");
    },
  });
  await vi.waitFor(
    async () => {
      await next.claim();
      expect(await statusOf(house, id)).toBe("canceled");
    },
    { timeout: 30_000 },
  );
  expect(asked).toEqual([{ jobId: id, prompts: ["p"], status: "canceling" }]);
}, 60_000);

async function statusOf(house: Setup, id: string): Promise<string | undefined> {
  return (await house.producer.read("default", id))?.status;
}
