import { expect, test } from "vitest";
import { openClaimer } from "../src/index.ts";
import { claimOne, type Setup, setup } from "./setup.ts";

const done = { kind: "give_back", reason: "test" } as const;

/** A worker for which every wait is a long one, or none is. */
const claimerWith = (house: Setup, ageingMs: number) =>
  openClaimer({ redisUrl: house.redis.url, pool: "default", workerId: "w", instance: "i", ageingMs });

/** Claims and cancels, so many times, one more urgent job coming for each that goes. @returns the priorities claimed */
async function claimUnderLoad(house: Setup, ageingMs: number, claims: number): Promise<readonly number[]> {
  const claimer = await claimerWith(house, ageingMs);
  const seen: number[] = [];
  for (let claim = 0; claim < claims; claim += 1) {
    await house.submit({ priority: 10 });
    const held = await claimOne(claimer);
    seen.push(held.head.priority);
    await house.producer.cancel("default", held.id);
    await held.end(done);
  }
  await claimer.close();
  return seen;
}

test("a job that waited too long gets one claim in eight, however much of higher priority comes", async () => {
  await using house = await setup();
  for (const priority of [-5, 0, -5]) await house.submit({ priority });
  for (let more = 0; more < 3; more += 1) await house.submit({ priority: 10 });
  const seen = await claimUnderLoad(house, 0, 26);
  expect(seen.filter((priority) => priority < 10)).toEqual([-5, 0, -5]); // who waited longest first
  const at = seen.flatMap((priority, index) => (priority < 10 ? index : []));
  // The very first time Redis has to be told the script, and the claim is made beside it.
  expect([[7, 8].includes(at[0] ?? -1), at[1], at[2]]).toEqual([true, 15, 23]);
});

test("nobody who has not waited too long overtakes anybody", async () => {
  await using house = await setup();
  await house.submit({ priority: 0 });
  await house.submit({ priority: 10 });
  expect(await claimUnderLoad(house, 600_000, 17)).toEqual(Array(17).fill(10));
});

test("inside a level the order of submission stays, also where old jobs are moved first", async () => {
  await using house = await setup();
  const claimer = await claimerWith(house, 0);
  const [low, high] = [[], []] as [string[], string[]];
  for (let each = 0; each < 4; each += 1) low.push(await house.submit({ priority: 1 }));
  for (let each = 0; each < 20; each += 1) high.push(await house.submit({ priority: 2 }));
  const claimed: string[] = [];
  for (let each = 0; each < 24; each += 1) claimed.push((await claimOne(claimer)).id);
  expect(claimed.filter((id) => low.includes(id))).toEqual(low);
  expect(claimed.filter((id) => high.includes(id))).toEqual(high);
  await claimer.close();
});

test("a job with run_at ages from then on, not from when it was submitted", async () => {
  await using house = await setup();
  const claimer = await claimerWith(house, 60_000);
  const { redis, names } = claimer.room;
  const [due, old] = [await house.submit({ priority: 1 }), await house.submit({ priority: 2 })];
  for (let each = 0; each < 20; each += 1) await house.submit({ priority: 3 });
  for (const id of [due, old]) await redis.hset(names.record(id), "created_at_ms", Date.now() - 3_600_000);
  await redis.hset(names.record(due), "due_at_ms", Date.now() - 1_000);
  const claimed: string[] = [];
  for (let each = 0; each < 20; each += 1) claimed.push((await claimOne(claimer)).id);
  expect([7, 8]).toContain(claimed.indexOf(old));
  expect(claimed).not.toContain(due);
  await claimer.close();
});
