import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { jobFailure, type Progress } from "@comfyq/contract";
import { expect, test, vi } from "vitest";
import type { Claimer, HeldJob } from "../src/index.ts";
import { openLine } from "./line.ts";
import { claimOne, manifestFor, type Setup, setup } from "./setup.ts";

const FAST = { timeScale: 0.2 }; // lock 2 s, fence 1.6 s
const progress: Progress = {
  value: 0.9,
  nodes_done: 1,
  nodes_total: 2,
  current_node: null,
  current_node_class: null,
  step: null,
  steps: null,
  message: "from a ghost",
};

const lockOf = ({ room }: Claimer, jobId: string) => `${room.names.bull(room.names.jobsQueue("default"), jobId)}:lock`;

async function aborted(held: HeldJob): Promise<unknown> {
  if (!held.signal.aborted) await once(held.signal, "abort");
  return held.signal.reason;
}

const attempts = (house: Setup, id: string) => house.producer.attempts("default", id);

test("a worker cut off from Redis stops before its lock can end, and its ghost changes nothing", async () => {
  await using house = await setup(FAST);
  await using line = await openLine(house.redis.url);
  const other = await house.claimer("other");
  const id = await house.submit();
  const lost = await claimOne(await house.claimer("lost", { redisUrl: line.url }));
  await lost.journal({ prompt_id: "p", stage: "rendering" });
  line.freeze("all");
  expect(await aborted(lost)).toBe("lock_lost");
  expect(await other.room.redis.exists(lockOf(other, id))).toBe(1); // nobody else can have started
  expect(lost.isOurs()).toBe(false);
  await expect(lost.journal({ stage: "storing" })).rejects.toBe("lock_lost");
  expect(await lost.end({ kind: "succeeded", manifest: manifestFor(lost) })).toBe(false);

  const next = await claimOne(other);
  expect(next).toMatchObject({ id, epoch: 2, earlier: [{ epoch: 1, end: null, prompt_id: "p" }] });
  lost.report(progress);
  lost.show({ event: "log", data: { message: "from a ghost" } });
  line.thaw();
  // The ghost says one thing, in its own page: that it did not die.
  await vi.waitFor(async () => expect((await attempts(house, id))?.at(0)?.end).toBe("given_back"), { timeout: 10_000 });
  expect(await attempts(house, id)).toMatchObject([
    { epoch: 1, end: "given_back", counted: false, stage: "rendering", worker: "lost" },
    { epoch: 2, end: null, worker: "other" },
  ]);
  const kept = await other.room.redis.xrange(other.room.names.events(id), "-", "+");
  expect(JSON.stringify(kept)).not.toContain("from a ghost");
  expect(next.isOurs()).toBe(true);
  expect(await next.end({ kind: "succeeded", manifest: manifestFor(next) })).toBe(true);
  expect(await house.producer.read("default", id)).toMatchObject({ status: "succeeded", sealed_epoch: 2 });
}, 60_000);

test("a ComfyUI that died of a job while Redis was away is remembered, although the attempt could not be ended", async () => {
  await using house = await setup(FAST);
  await using line = await openLine(house.redis.url);
  const other = await house.claimer("other");
  const id = await house.submit();
  const lost = await claimOne(await house.claimer("lost", { redisUrl: line.url }));
  await lost.journal({ prompt_id: "p", stage: "rendering" });
  line.freeze("all");
  const error = jobFailure("prompt_lost", "ComfyUI was restarted");
  expect(await lost.end({ kind: "retry", error, counted: false, afterMs: 0 })).toBe(false);
  // Later than the lock: what was under way when the line froze comes too late as well.
  await vi.waitFor(async () => expect(await other.room.redis.exists(lockOf(other, id))).toBe(0), { timeout: 10_000 });
  line.thaw();
  await vi.waitFor(async () => expect((await attempts(house, id))?.at(0)?.end).toBe("given_back"), { timeout: 10_000 });
  expect(await attempts(house, id)).toMatchObject([{ epoch: 1, counted: false, error: { code: "prompt_lost" } }]);
}, 60_000);

test("a process that slept knows that its job may be another's before any of its timers has fired", async () => {
  await using house = await setup(FAST);
  await house.submit();
  const claimer = await house.claimer();
  const held = await claimOne(claimer);
  expect(held.isOurs()).toBe(true);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, claimer.room.settings.fenceMs); // no timer, no answer
  expect(held.signal.aborted).toBe(false);
  expect(held.isOurs()).toBe(false);
  expect(held.signal.reason).toBe("lock_lost");
  await expect(held.journal({ stage: "storing" })).rejects.toBe("lock_lost");
}, 60_000);

test("a stopped process that wakes up finds its job another's, and can no longer end it", async () => {
  await using house = await setup(FAST);
  const id = await house.submit();
  const script = `
    const { openClaimer } = await import(${JSON.stringify(new URL("../src/index.ts", import.meta.url).href)});
    const options = { redisUrl: ${JSON.stringify(house.redis.url)}, pool: "default", timeScale: 0.2 };
    const claimer = await openClaimer({ ...options, workerId: "sleeper", instance: "i" });
    let held; while (!held) held = await claimer.claim();
    held.signal.addEventListener("abort", async () => {
      const ended = await held.end({ kind: "retry", error: { code: "internal" }, afterMs: 0, counted: true });
      console.log(JSON.stringify({ reason: held.signal.reason, ended }));
      await claimer.close();
    });
    console.log(held.id);`;
  const sleeper = spawn(process.execPath, ["--conditions=@comfyq/source", "--input-type=module", "-e", script]);
  const lines = createInterface({ input: sleeper.stdout })[Symbol.asyncIterator]();
  expect((await lines.next()).value).toBe(id);
  sleeper.kill("SIGSTOP");
  const next = await claimOne(await house.claimer("awake"));
  expect(next).toMatchObject({ id, epoch: 2 });
  sleeper.kill("SIGCONT");
  expect(JSON.parse(String((await lines.next()).value))).toEqual({ reason: "lock_lost", ended: false });
  await once(sleeper, "exit");
  expect(await attempts(house, id)).toMatchObject([{ end: "given_back", counted: false }, { end: null }]);
  expect(await next.end({ kind: "succeeded", manifest: manifestFor(next) })).toBe(true);
}, 60_000);

test("a claim whose answer came too late is not begun, and is no attempt", async () => {
  await using house = await setup(FAST);
  await using line = await openLine(house.redis.url);
  const late = await house.claimer("late", { redisUrl: line.url });
  const other = await house.claimer("other");
  const id = await house.submit();
  line.freeze("answers");
  const claiming = late.claim();
  await vi.waitFor(async () => expect(await other.standing(id)).toMatchObject({ kind: "held" }), { timeout: 10_000 });
  expect(await house.producer.read("default", id)).toMatchObject({ status: "queued", attempts: 0 });
  const held = await claimOne(other);
  line.thaw();
  expect(await claiming).toBeUndefined();
  expect(held).toMatchObject({ id, earlier: [] });
  expect(await held.end({ kind: "succeeded", manifest: manifestFor(held) })).toBe(true);
  expect(await house.producer.read("default", id)).toMatchObject({ status: "succeeded", attempts: 1 });
}, 60_000);

test("a renewal that is answered late counts from when it was asked for", async () => {
  await using house = await setup({ timeScale: 0.4 });
  await using line = await openLine(house.redis.url);
  const onlooker = await house.claimer("onlooker");
  const id = await house.submit();
  const held = await claimOne(await house.claimer("slow", { redisUrl: line.url }));
  const leftMs = () => onlooker.room.redis.pttl(lockOf(onlooker, id));
  const { lockMs, renewMs, fenceMs } = onlooker.room.settings;
  while ((await leftMs()) > lockMs - renewMs / 2); // the next renewal is to come
  line.freeze("answers");
  while ((await leftMs()) <= lockMs - renewMs / 2); // it has been granted, and the holder does not know
  line.freeze("all");
  while ((await leftMs()) > lockMs - renewMs); // late, but before the holder would give up
  line.freeze("requests"); // now it hears, and never of another
  while ((await leftMs()) > lockMs - fenceMs + renewMs / 2); // without it, it would have given up by now
  expect(held.isOurs()).toBe(true);
  expect(await aborted(held)).toBe("lock_lost");
  expect(await leftMs()).toBeGreaterThan(0);
}, 60_000);

test("a claim that was answered late, but not too late, begins with a fresh lock", async () => {
  await using house = await setup(FAST);
  await using line = await openLine(house.redis.url);
  const slow = await house.claimer("slow", { redisUrl: line.url });
  const onlooker = await house.claimer("onlooker");
  const leftMs = () => onlooker.room.redis.pttl(lockOf(onlooker, id));
  const { lockMs, renewMs } = onlooker.room.settings;
  const id = await house.submit();
  line.freeze("answers");
  const claiming = slow.claim();
  await vi.waitFor(async () => expect(await leftMs()).toBeGreaterThan(0), { timeout: 10_000 });
  while ((await leftMs()) > renewMs - 100); // less than until the next renewal would be due
  line.thaw();
  const held = await claiming;
  await vi.waitFor(async () => expect(await leftMs()).toBeGreaterThan(lockMs / 2), { timeout: 10_000 });
  expect(held?.isOurs()).toBe(true);
}, 60_000);

test("a worker that has claimed a job anew is told at once to cancel it, also after its own ghost has let go", async () => {
  await using house = await setup();
  const claimer = await house.claimer();
  const id = await house.submit();
  const ghost = await claimOne(claimer);
  await claimer.room.redis.del(lockOf(claimer, id));
  const held = await claimOne(claimer);
  await ghost.end({ kind: "give_back", reason: "too late" });
  await house.producer.cancel("default", id);
  await vi.waitFor(() => expect(held.signal.aborted).toBe(true)); // long before a renewal would find the wish
  expect(held.signal.reason).toBe("canceled");
}, 60_000);
