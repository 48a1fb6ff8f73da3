import { randomUUID } from "node:crypto";
import { expect, onTestFinished, test } from "vitest";
import { adoptAssets, type QueueRoom, sweepAssets, sweepRetention } from "../src/index.ts";
import { openRoom } from "../src/room.ts";
import { claimOne, nodeFailed, type Setup, setup } from "./setup.ts";

const using = (asset: string) => ({ inputs: { "1.inputs.image": `asset:${asset}` } });

async function openSweeper(house: Setup, retentionMs = 60_000): Promise<QueueRoom> {
  const room = await openRoom({ redisUrl: house.redis.url, retentionMs }, "worker");
  onTestFinished(() => room.close());
  return room;
}

/** Sweeps as if nothing were kept. @returns what was removed */
async function sweepNow(room: QueueRoom, retentionMs = -1): Promise<string[]> {
  const removed: string[] = [];
  await sweepAssets(room, retentionMs, async (tenant, id) => void removed.push(`${tenant}/${id}`));
  return removed;
}

test("an asset that no job names goes when it has not been used for as long as the retention says, and no sooner", async () => {
  await using house = await setup();
  const room = await openSweeper(house);
  const asset = randomUUID();
  await house.producer.touchAssets("acme", [asset]);
  expect(await sweepNow(room, 60_000)).toEqual([]);
  expect(await sweepNow(room)).toEqual([`acme/${asset}`]);
  expect(await sweepNow(room)).toEqual([]);
  await expect(house.submit(using(asset), "acme")).rejects.toMatchObject({ name: "QueueError", code: "missing_asset" });
});

test("an asset that a job names stays until the last such job is forgotten, and cannot be removed by hand", async () => {
  await using house = await setup();
  const room = await openSweeper(house, 0);
  const asset = randomUUID();
  await house.producer.touchAssets("default", [asset]);
  const [first, second] = [await house.submit(using(asset)), await house.submit(using(asset))];
  const claimer = await house.claimer();
  for (const id of [first, second]) {
    expect(await sweepNow(room)).toEqual([]);
    expect(await house.producer.condemnAsset("default", asset)).toBe("in_use");
    const held = await claimOne(claimer);
    expect(held.id).toBe(id);
    await held.end({ kind: "failed", error: nodeFailed });
    await room.redis.zadd(room.names.retention, 0, id);
    expect(await sweepRetention(room, async () => {})).toBe(1);
  }
  expect(await house.producer.condemnAsset("default", asset)).toBe("condemned");
  expect(await room.redis.hgetall(room.names.assetJobs)).toEqual({});
});

test("a job submitted while its asset is being removed is refused, and the asset can be uploaded again afterwards", async () => {
  await using house = await setup();
  const room = await openSweeper(house);
  const asset = randomUUID();
  await house.producer.touchAssets("default", [asset]);
  await sweepAssets(room, -1, async () => {
    expect((await house.producer.touchAssets("default", [asset])).going).toEqual([asset]);
    await expect(house.submit(using(asset))).rejects.toMatchObject({ code: "missing_asset" });
  });
  expect((await house.producer.touchAssets("default", [asset])).going).toEqual([]);
  await house.submit(using(asset));
});

test("of jobs and sweeps that race for one asset, no job that was taken loses it", async () => {
  await using house = await setup();
  const room = await openSweeper(house);
  for (let round = 0; round < 20; round += 1) {
    const asset = randomUUID();
    await house.producer.touchAssets("default", [asset]);
    const removed: string[] = [];
    const [taken] = await Promise.all([
      house.submit(using(asset)).then(
        () => true,
        () => false,
      ),
      sweepAssets(room, -1, async (_, id) => void removed.push(id)),
    ]);
    expect(removed).toEqual(taken ? [] : [asset]);
  }
});

test("a removal that was cut off is ended by another sweeper, and not while it may be under way", async () => {
  await using house = await setup();
  const room = await openSweeper(house);
  const asset = randomUUID();
  await house.producer.touchAssets("default", [asset]);
  const cut = sweepAssets(room, -1, () => Promise.reject(new Error("killed")));
  await expect(cut).rejects.toThrow("killed");
  expect(await sweepNow(room)).toEqual([]);
  await room.redis.zadd(room.names.assetRemovals, 0, `default/${asset}`);
  expect(await sweepNow(room)).toEqual([`default/${asset}`]);
  expect(await room.redis.zcard(room.names.assetRemovals)).toBe(0);
});

test("a use that was noted of an asset that is not there leaves nothing, unless somebody uploads it meanwhile", async () => {
  await using house = await setup();
  const room = await openSweeper(house);
  const [absent, uploaded] = [randomUUID(), randomUUID()];
  const { atMs } = await house.producer.touchAssets("default", [absent, uploaded]);
  await room.redis.zadd(room.names.assets, atMs + 1, `default/${uploaded}`);
  await house.producer.untouchAssets("default", [absent, uploaded], atMs);
  expect(await room.redis.zrange(room.names.assets, "0", "-1")).toEqual([`default/${uploaded}`]);
});

test("what the store has and Redis has forgotten is taken into account again, as if it had been uploaded just now", async () => {
  await using house = await setup();
  const room = await openSweeper(house);
  const asset = randomUUID();
  await expect(house.submit(using(asset))).rejects.toMatchObject({ code: "missing_asset" });
  await adoptAssets(room, [{ tenant: "default", id: asset }]);
  await adoptAssets(room, []);
  await house.submit(using(asset));
  expect(await sweepNow(room)).toEqual([]);
});
