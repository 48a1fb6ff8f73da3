import { expect, test, vi } from "vitest";
import { claimOne, manifestFor, setup } from "./setup.ts";

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
  const { jobFailure } = await import("@comfyq/contract");
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

test("cancel and completion race a hundred times: one of them wins each time, and stays", async () => {
  await using house = await setup();
  const claimer = await house.claimer();
  for (let round = 0; round < 100; round += 1) {
    const id = await house.submit();
    const finish = async () => {
      const held = await claimer.claim();
      if (held) await held.end({ kind: "succeeded", manifest: manifestFor(held) });
    };
    await Promise.all([finish(), house.producer.cancel("default", id).catch(() => {})]);
    const job = await house.producer.read("default", id);
    // A wish that came too late is not granted: the work was done and sealed.
    expect(["succeeded", "canceled"]).toContain(job?.status);
    expect((await house.producer.read("default", id))?.status).toBe(job?.status);
  }
}, 60_000);

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
