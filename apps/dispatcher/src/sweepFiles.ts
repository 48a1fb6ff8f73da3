import { json } from "node:stream/consumers";
import { Asset, assetHashKey, assetKeys, assetOfKey, assetPrefix, UPLOADS_PREFIX } from "@comfyq/contract";
import { adoptAssets, type QueueRoom } from "@comfyq/queue";
import { nowMs } from "@comfyq/runtime";
import type { Storage } from "@comfyq/storage";

/** What a killed writer left half-written counts as lost after a day. */
const STRAY_AFTER_MS = 24 * 3_600_000;
/** A link for an upload works for an hour at most by itself; two days leave room for a slow line. */
const UPLOAD_LOST_AFTER_MS = 48 * 3_600_000;
/** Assets that are noted at once. */
const BATCH = 500;

/** Removes half-written objects and uploads that nobody completed, and takes stock of the assets. @returns how many were removed */
export async function sweepStore(room: QueueRoom, store: Storage): Promise<number> {
  await takeStock(room, store);
  const { removed } = await store.sweep({ olderThanMs: STRAY_AFTER_MS });
  return removed + (await sweepUploads(store, nowMs() - UPLOAD_LOST_AFTER_MS));
}

/** @param beforeMs what was stored before it is lost */
async function sweepUploads(store: Storage, beforeMs: number): Promise<number> {
  let removed = 0;
  for await (const { key, lastModifiedMs } of store.list(UPLOADS_PREFIX)) {
    if (lastModifiedMs >= beforeMs) continue;
    await store.remove(key);
    removed += 1;
  }
  return removed;
}

/** Assets that Redis does not know, because it was lost or they are of an older version, are kept from now on like others. */
async function takeStock(room: QueueRoom, store: Storage): Promise<void> {
  let found: { tenant: string; id: string }[] = [];
  for await (const { key } of store.list("assets/")) {
    const asset = assetOfKey(key);
    if (asset) found.push(asset);
    if (found.length < BATCH) continue;
    await adoptAssets(room, found);
    found = [];
  }
  await adoptAssets(room, found);
}

/** Removes one asset's objects, its description last but for the bytes: until it is gone, its hashes can be read. */
export async function removeAsset(store: Storage, tenant: string, id: string): Promise<void> {
  const { description } = assetKeys(tenant, id);
  if (await store.head(description)) {
    const asset = Asset.safeParse(await json((await store.get(description)).body)).data;
    if (asset?.blake3 !== undefined) await store.remove(assetHashKey(tenant, asset.blake3));
    await store.remove(description);
  }
  await store.removePrefix(assetPrefix(tenant, id));
}
