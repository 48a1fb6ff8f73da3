import { expect, test } from "vitest";
import { claimOne, endLock, manifestFor, setup } from "./setup.ts";

// What a checker of the promises must notice. Here: that each break breaks its promise, and nothing breaks without it.

test("broken on purpose: a cancel overrules an end that has been told", async () => {
  await using house = await setup({ breaks: new Set(["cancel_overrules_end"]) });
  const id = await house.submit();
  const held = await claimOne(await house.claimer());
  await held.end({ kind: "succeeded", manifest: manifestFor(held) });
  expect(await house.producer.read("default", id)).toMatchObject({ status: "succeeded" });
  expect(await house.producer.cancel("default", id)).toMatchObject({ status: "canceled" });
  expect(await house.producer.read("default", id)).toMatchObject({ status: "canceled" });
});

test("broken on purpose: a job may kill any number of workers", async () => {
  await using house = await setup({ timeScale: 0.2, breaks: new Set(["no_poison_limit"]) });
  const claimer = await house.claimer();
  const id = await house.submit();
  const died = await claimOne(claimer);
  const page = await claimer.room.redis.hget(claimer.room.names.attempts(id), String(died.epoch));
  for (const epoch of [11, 12, 13, 14])
    await claimer.room.redis.hset(claimer.room.names.attempts(id), String(epoch), String(page));
  await endLock(claimer, id);
  expect((await claimOne(claimer)).id).toBe(id);
}, 30_000);

test("broken on purpose: another tenant sees a job", async () => {
  await using house = await setup({ breaks: new Set(["no_tenant_check"]) });
  const id = await house.submit({}, "acme");
  expect(await house.producer.read("other", id)).toMatchObject({ id, status: "queued" });
});
