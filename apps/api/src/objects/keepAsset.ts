import { json, text } from "node:stream/consumers";
import {
  Asset,
  AssetId,
  assetHashKey,
  assetKeys,
  assetPrefix,
  COMFYQ_NAMESPACE,
  toMoment,
  uuidV5,
} from "@comfyq/contract";
import { nowMs } from "@comfyq/runtime";
import type { Storage } from "@comfyq/storage";
import { ApiError } from "../errors.ts";
import type { Rooms } from "../rooms.ts";
import type { MeasuredFile } from "./readUpload.ts";

/** Bytes larger than this in an asset's description are not ours. */
const DESCRIPTION_BYTES = 65_536;

type AssetRooms = Pick<Rooms, "storage" | "producer">;

/** One asset of a tenant; undefined when there is none. */
export async function readAsset(storage: Storage, tenant: string, assetId: string): Promise<Asset | undefined> {
  const { description } = assetKeys(tenant, assetId);
  const facts = await storage.head(description);
  if (!facts || facts.totalBytes > DESCRIPTION_BYTES) return undefined;
  const { body } = await storage.get(description);
  return Asset.parse(await json(body));
}

/** The asset that has this hash, `sha256:<hex>` or `blake3:<hex>`. */
export async function findAsset(storage: Storage, tenant: string, hash: string): Promise<Asset | undefined> {
  if (hash.startsWith("sha256:")) return readAsset(storage, tenant, assetIdFor(tenant, hash.slice("sha256:".length)));
  const key = assetHashKey(tenant, hash);
  const facts = await storage.head(key);
  const id = facts && AssetId.safeParse(await text((await storage.get(key)).body)).data;
  return id === undefined ? undefined : readAsset(storage, tenant, id);
}

/**
 * Keeps an upload under the id that its bytes give it within the tenant. The content is stored before its description, so an
 * asset that can be found is whole; two uploads of the same bytes at once are one asset. It counts as used from now on.
 * @throws ApiError `conflict` while the same bytes are being removed
 */
export async function keepAsset(
  { storage, producer }: AssetRooms,
  tenant: string,
  upload: MeasuredFile,
): Promise<{ readonly asset: Asset; readonly isNew: boolean }> {
  const id = assetIdFor(tenant, upload.sha256);
  const { going } = await producer.touchAssets(tenant, [id]); // before anything is stored: from here on nobody sweeps it
  if (going.length > 0)
    throw new ApiError("conflict", "These very bytes are just being removed; send them again in a moment", {
      retryAfterSeconds: 1,
    });
  const known = await readAsset(storage, tenant, id);
  if (known) return { asset: known, isNew: false };
  const { contentType, sizeBytes, blake3 } = upload;
  await storage.put(assetKeys(tenant, id).content, upload.open(), { contentType, sizeBytes });
  const asset: Asset = {
    id,
    hash: `sha256:${upload.sha256}`,
    blake3: `blake3:${blake3}`,
    size_bytes: sizeBytes,
    content_type: contentType,
    name: upload.name,
    created_at: toMoment(nowMs()),
  };
  return describeAsset(storage, tenant, asset);
}

async function describeAsset(storage: Storage, tenant: string, asset: Asset) {
  if (asset.blake3 !== undefined)
    await storage.put(assetHashKey(tenant, asset.blake3), asset.id, { contentType: "text/plain" });
  const { created } = await storage.putIfAbsent(assetKeys(tenant, asset.id).description, JSON.stringify(asset), {
    contentType: "application/json",
  });
  return { asset: created ? asset : ((await readAsset(storage, tenant, asset.id)) ?? asset), isNew: created };
}

/**
 * Removes an asset that no job names.
 * @throws ApiError `asset_in_use`
 */
export async function removeAsset({ storage, producer }: AssetRooms, tenant: string, asset: Asset): Promise<void> {
  if ((await producer.condemnAsset(tenant, asset.id)) === "in_use")
    throw new ApiError(
      "asset_in_use",
      `Asset ${asset.id} is an input of jobs that are still kept; it can be removed when they are gone`,
    );
  if (asset.blake3 !== undefined) await storage.remove(assetHashKey(tenant, asset.blake3));
  await storage.remove(assetKeys(tenant, asset.id).description);
  await storage.removePrefix(assetPrefix(tenant, asset.id));
  await producer.assetRemoved(tenant, asset.id);
}

/** The same bytes of one tenant always have the same id. */
function assetIdFor(tenant: string, sha256: string): string {
  return uuidV5(`${tenant}:${sha256}`, COMFYQ_NAMESPACE);
}
