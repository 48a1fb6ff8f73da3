import { expect, test, vi } from "vitest";
import { holdInstance, noteSilences, readSilences, releaseInstance } from "../src/index.ts";
import { beatAs, setup } from "./setup.ts";

const KEY = "http://gpu:8188";
const first = { key: KEY, token: "a", holder: "worker one on host a" };
const second = { key: KEY, token: "b", holder: "worker two on host b" };

test("one worker holds a ComfyUI; the second learns whose it is, until the first lets go", async () => {
  await using house = await setup();
  const { room } = await house.claimer();
  expect(await holdInstance(room, first)).toBeUndefined();
  expect(await holdInstance(room, second)).toBe(first.holder);
  expect(await holdInstance(room, first)).toBeUndefined(); // renewed
  expect(await holdInstance(room, { ...second, key: "http://other:8188" })).toBeUndefined();
  await releaseInstance(room, second); // not his to release
  expect(await holdInstance(room, second)).toBe(first.holder);
  await releaseInstance(room, first);
  expect(await holdInstance(room, second)).toBeUndefined();
});

test("of many that ask at once, one gets it", async () => {
  await using house = await setup();
  const { room } = await house.claimer();
  const asked = Array.from({ length: 20 }, (_, n) => ({ key: KEY, token: `t${n}`, holder: `h${n}` }));
  const answers = await Promise.all(asked.map((claim) => holdInstance(room, claim)));
  expect(answers.filter((other) => other === undefined)).toHaveLength(1);
  expect(new Set(answers).size).toBe(2);
});

test("a ComfyUI whose worker died is free when its lease has ended, and not while it is renewed", async () => {
  await using house = await setup({ timeScale: 0.2 }); // lease 2 s
  const { room } = await house.claimer();
  await holdInstance(room, first);
  const endsAtMs = performance.now() + 2 * room.settings.instanceLeaseMs;
  while (performance.now() < endsAtMs) {
    expect(await holdInstance(room, first)).toBeUndefined();
    expect(await holdInstance(room, second)).toBe(first.holder);
  }
  await vi.waitFor(async () => expect(await holdInstance(room, second)).toBeUndefined(), { timeout: 10_000 });
  expect(await holdInstance(room, first)).toBe(second.holder);
});

test("a lease is renewed by a Redis whose memory is full", async () => {
  await using house = await setup({ timeScale: 0.2 });
  const { room } = await house.claimer();
  await holdInstance(room, first);
  await room.redis.config("SET", "maxmemory", "1");
  const endsAtMs = performance.now() + 2 * room.settings.instanceLeaseMs;
  while (performance.now() < endsAtMs) expect(await holdInstance(room, first)).toBeUndefined();
  await room.redis.config("SET", "maxmemory", "0");
});

test("the longest silence of each node class is remembered, counts its samples and fades slowly", async () => {
  await using house = await setup();
  const { room } = await house.claimer();
  expect((await readSilences(room, "default")).size).toBe(0);
  await noteSilences(room, "default", {});
  await noteSilences(room, "default", { KSampler: 1_000, constructor: 5 });
  await noteSilences(room, "default", { KSampler: 100 });
  await noteSilences(room, "big", { KSampler: 7 });
  const known = await readSilences(room, "default");
  expect(known.get("KSampler")).toEqual({ longestMs: 980, samples: 2 });
  expect(known.get("constructor")).toEqual({ longestMs: 5, samples: 1 });
  expect(known.get("toString")).toBeUndefined();
  await noteSilences(room, "default", { KSampler: 2_000 });
  expect((await readSilences(room, "default")).get("KSampler")).toEqual({ longestMs: 2_000, samples: 3 });
});

test("silences that another version wrote are learned anew", async () => {
  await using house = await setup();
  const { room } = await house.claimer();
  await room.redis.hset(room.names.silences("default"), "KSampler", "[1]", "VAEDecode", "none");
  expect((await readSilences(room, "default")).size).toBe(0);
  await noteSilences(room, "default", { KSampler: 3 });
  expect((await readSilences(room, "default")).get("KSampler")).toEqual({ longestMs: 3, samples: 1 });
});

test("neighbours are the other living workers of the pool that take jobs", async () => {
  await using house = await setup();
  const claimer = await house.claimer("me");
  await beatAs(claimer, "me");
  await beatAs(claimer, "idle");
  await beatAs(claimer, "busy", { state: "rendering" });
  await beatAs(claimer, "elsewhere", { pool: "big" });
  for (const state of ["starting", "unready", "quarantined", "draining"] as const)
    await beatAs(claimer, state, { state });
  await claimer.room.redis.set(claimer.room.names.worker("future"), JSON.stringify({ id: "future", state: "new" }));
  await claimer.room.redis.zadd(claimer.room.names.workers, Date.now() + 1_000, "future");
  expect((await claimer.neighbours()).map(({ id }) => id)).toEqual(["busy", "idle"]);
});

test("a worker that no longer beats is forgotten, by Redis's clock and nobody else's", async () => {
  await using house = await setup({ timeScale: 0.05 }); // forgotten after 0.5 s
  const claimer = await house.claimer("me");
  await beatAs(claimer, "gone", { beat_at: "2020-01-01T00:00:00.000Z" }); // its host's clock is years behind
  expect(await house.producer.workers()).toHaveLength(1);
  await vi.waitFor(async () => expect(await house.producer.workers()).toEqual([]), { timeout: 10_000 });
  await beatAs(claimer, "me");
  expect(await claimer.room.redis.zrange(claimer.room.names.workers, "0", "-1")).toEqual(["me"]);
});
