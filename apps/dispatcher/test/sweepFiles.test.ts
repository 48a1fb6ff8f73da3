import { randomUUID } from "node:crypto";
import { mkdtemp, rm, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Asset, assetHashKey, assetKeys, uploadKeys } from "@comfyq/contract";
import { openClaimer, sweepAssets } from "@comfyq/queue";
import { startPrivateRedis } from "@comfyq/queue/testing";
import { openStorage } from "@comfyq/storage";
import { expect, onTestFinished, test } from "vitest";
import { removeAsset, sweepStore } from "../src/sweepFiles.ts";

const text = { contentType: "text/plain" };

async function setup() {
  const redis = await startPrivateRedis();
  const folder = await mkdtemp(join(tmpdir(), "sweep-files-"));
  const claimer = await openClaimer({ redisUrl: redis.url, pool: "default", workerId: "w", instance: "i" });
  onTestFinished(async () => {
    await claimer.close();
    await redis.close();
    await rm(folder, { recursive: true, force: true });
  });
  const store = openStorage(folder);
  const keep = async (tenant: string, more: Partial<Asset> = {}) => {
    const id = randomUUID();
    const keys = assetKeys(tenant, id);
    await store.put(keys.content, "bytes", text);
    if (more.blake3 !== undefined) await store.put(assetHashKey(tenant, more.blake3), id, text);
    const facts = { id, hash: `sha256:${"0".repeat(64)}`, size_bytes: 5, content_type: "text/plain", name: "a" };
    await store.put(
      keys.description,
      JSON.stringify({ ...facts, created_at: new Date().toISOString(), ...more }),
      text,
    );
    return id;
  };
  const keysOf = async () => {
    const keys: string[] = [];
    for await (const { key } of store.list("")) keys.push(key);
    return keys;
  };
  return { room: claimer.room, store, folder, keep, keysOf };
}

test("an upload that nobody completed is removed after two days, and a younger one is not", async () => {
  const { room, store, folder, keysOf } = await setup();
  const [old, young] = [uploadKeys("acme", randomUUID()), uploadKeys("acme", randomUUID())];
  for (const keys of [old, young]) for (const key of [keys.content, keys.description]) await store.put(key, "x", text);
  const daysAgo = (days: number) => new Date(Date.now() - days * 86_400_000);
  for (const key of [old.content, old.description]) await utimes(join(folder, key), daysAgo(3), daysAgo(3));
  for (const key of [young.content, young.description]) await utimes(join(folder, key), daysAgo(1), daysAgo(1));
  expect(await sweepStore(room, store)).toBe(2);
  expect(await keysOf()).toEqual([young.content, young.description]);
});

test("assets that Redis has forgotten are taken stock of, and go with everything of theirs when their time is over", async () => {
  const { room, store, keep, keysOf } = await setup();
  const blake3 = `blake3:${"7".repeat(64)}`;
  const known = await Promise.all([keep("acme", { blake3 }), keep("acme"), keep("other")]);
  await sweepStore(room, store);
  const members = await room.redis.zrange(room.names.assets, "0", "-1");
  expect(members.toSorted()).toEqual([`acme/${known[0]}`, `acme/${known[1]}`, `other/${known[2]}`].toSorted());
  expect(await keysOf()).toHaveLength(7);
  expect(await sweepAssets(room, -1, (tenant, id) => removeAsset(store, tenant, id))).toBe(3);
  expect(await keysOf()).toEqual([]);
});
