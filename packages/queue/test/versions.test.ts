import { expect, test } from "vitest";
import { claimOne, manifestFor, setup } from "./setup.ts";

const page = {
  epoch: 1,
  worker: "old",
  instance: "i-old",
  stage: "storing",
  started_at: "2026-01-01T00:00:00.000Z",
  ended_at: "2026-01-01T00:01:00.000Z",
  end: "failed",
  counted: true,
  prompt_id: "p",
  prepare_ms: 1,
  render_ms: 2,
  store_ms: null,
  error: null,
};

/** Pages as other versions of this software would have left them, and what is understood of each. */
const PAGES: readonly (readonly [name: string, page: unknown, understood: object])[] = [
  ["an older one that knew no stop", page, { end: "failed", stop: null }],
  [
    "a newer one with fields nobody knows here",
    { ...page, gpu: "H200", stop: null },
    { end: "failed", prompt_id: "p" },
  ],
  ["one with a stage that is new", { ...page, stage: "verifying" }, { end: "failed", stage: "preparing" }],
  ["one that ended in a way that is new: no death", { ...page, end: "preempted" }, { end: "given_back" }],
  [
    "one with an error code that is new",
    { ...page, error: { code: "gpu_on_fire", message: "call somebody", blame: "instance", retryable: true } },
    { end: "failed", error: { code: "internal", message: "call somebody" } },
  ],
  ["one that lacks nearly everything", { epoch: 1 }, { end: null, prompt_id: null, counted: false }],
  ["one that is no object", "page", { epoch: 1, end: null }],
];

test.each(PAGES)("a journal page of another version fails no job: %s", async (_name, written, understood) => {
  await using house = await setup();
  const claimer = await house.claimer();
  const id = await house.submit();
  await claimer.room.redis.hset(
    claimer.room.names.attempts(id),
    "1",
    JSON.stringify(written),
    "progress:1",
    JSON.stringify({ share: 0.5 }), // of another version, too
  );
  expect(await house.producer.read("default", id)).toMatchObject({ status: "queued", attempts: 1, progress: null });
  const held = await claimOne(claimer);
  expect(held.earlier).toMatchObject([understood]);
  expect(await held.end({ kind: "succeeded", manifest: manifestFor(held) })).toBe(true);
  expect(await house.producer.read("default", id)).toMatchObject({ status: "succeeded" });
});

test("text that is no JSON at all counts as an attempt that died", async () => {
  await using house = await setup();
  const claimer = await house.claimer();
  const id = await house.submit();
  await claimer.room.redis.hset(claimer.room.names.attempts(id), "1", "{half a pa", "2", "");
  expect(await claimer.claim()).toBeUndefined();
  expect(await house.producer.read("default", id)).toMatchObject({ status: "failed", error: { code: "poison" } });
});

test("a record with fields of a newer version is claimed as far as it is understood", async () => {
  await using house = await setup();
  const claimer = await house.claimer();
  const id = await house.submit({ metadata: { order: 1 } });
  const record = claimer.room.names.record(id);
  for (const field of ["head", "request"]) {
    const kept: object = JSON.parse(String(await claimer.room.redis.hget(record, field)));
    await claimer.room.redis.hset(record, field, JSON.stringify({ ...kept, colour: "new" }));
  }
  const held = await claimOne(claimer);
  expect(held.head.metadata).toEqual({ order: 1 });
  expect(await held.end({ kind: "succeeded", manifest: manifestFor(held) })).toBe(true);
});
