import { expect, test } from "vitest";
import type { Claimer } from "../src/index.ts";
import { claimOne, type Setup, setup } from "./setup.ts";

/** Makes a job look as if it had been submitted so long ago. */
async function age({ room }: Claimer, id: string, ms: number): Promise<void> {
  await room.redis.hset(room.names.record(id), "created_at_ms", Date.now() - ms);
}

/** A worker that takes only what has waited for a minute. */
const overflowing = (house: Setup, workerId = "cloud") => house.claimer(workerId, { overflowMs: 60_000 });

test("a worker that takes what the others leave waiting leaves them what is new", async () => {
  await using house = await setup({ timeScale: 0.1 });
  const cloud = await overflowing(house);
  const id = await house.submit();
  for (let each = 0; each < 3; each += 1) expect(await cloud.claim()).toBeUndefined();
  expect((await claimOne(await house.claimer("local"))).id).toBe(id);
});

test("what has waited long enough goes there, the oldest first, whatever its priority", async () => {
  await using house = await setup({ timeScale: 0.1 });
  const cloud = await overflowing(house);
  const [old, older, urgent] = [
    await house.submit({ priority: 5 }),
    await house.submit({ priority: 1 }),
    await house.submit({ priority: 9 }),
  ];
  await age(cloud, old, 70_000);
  await age(cloud, older, 80_000);
  expect((await claimOne(cloud)).id).toBe(older);
  expect((await claimOne(cloud)).id).toBe(old);
  expect(await cloud.claim()).toBeUndefined();
  expect((await claimOne(await house.claimer("local"))).id).toBe(urgent);
});

test("a new job that it caught all the same goes back at once, before all others and unharmed", async () => {
  await using house = await setup({ timeScale: 0.1 });
  const declined: string[] = [];
  const cloud = await house.claimer("cloud", {
    overflowMs: 60_000,
    onNotTaken: ({ verdict }) => declined.push(verdict.kind === "decline" ? verdict.why : verdict.kind),
  });
  const [caught, other] = [await house.submit(), await house.submit()];
  expect(await cloud.claim({ first: [caught] })).toBeUndefined(); // as if another had taken the old one meanwhile
  expect(declined).toEqual(["too_new"]);
  const local = await house.claimer("local");
  const held = await claimOne(local);
  expect([held.id, held.earlier]).toEqual([caught, []]);
  expect((await claimOne(local)).id).toBe(other);
});

test("a job that was given back waits for the others first, too, and then goes there", async () => {
  await using house = await setup({ timeScale: 0.1 });
  const cloud = await overflowing(house);
  const local = await house.claimer("local");
  const id = await house.submit();
  const held = await claimOne(local);
  await held.end({ kind: "give_back", reason: "test" });
  expect(await cloud.claim()).toBeUndefined();
  await age(cloud, id, 70_000);
  expect((await claimOne(cloud)).id).toBe(id);
});

test("an old job goes there though a new one was put before it", async () => {
  await using house = await setup({ timeScale: 0.1 });
  const cloud = await overflowing(house);
  const [fresh, old] = [await house.submit(), await house.submit()];
  expect(await cloud.claim({ first: [fresh] })).toBeUndefined();
  await age(cloud, old, 70_000);
  expect((await claimOne(cloud)).id).toBe(old);
  expect((await claimOne(await house.claimer("local"))).id).toBe(fresh);
});
