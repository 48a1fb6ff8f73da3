import { json } from "node:stream/consumers";
import { Asset, assetKeys, toMoment } from "@comfyq/contract";
import { COMFYQ_NAMESPACE, nowMs, uuidV5 } from "@comfyq/runtime";
import type { Storage } from "@comfyq/storage";
import type { MeasuredFile } from "./readUpload.ts";

/** Bytes larger than this in an asset's description are not ours. */
const DESCRIPTION_BYTES = 65_536;

/** One asset of a tenant; undefined when there is none. */
export async function readAsset(storage: Storage, tenant: string, assetId: string): Promise<Asset | undefined> {
  const { description } = assetKeys(tenant, assetId);
  const facts = await storage.head(description);
  if (!facts || facts.totalBytes > DESCRIPTION_BYTES) return undefined;
  const { body } = await storage.get(description);
  return Asset.parse(await json(body));
}

/**
 * Keeps an upload under the id that its bytes give it within the tenant. The content is stored before its description, so an
 * asset that can be found is whole; two uploads of the same bytes at once are one asset.
 */
export async function keepAsset(
  storage: Storage,
  tenant: string,
  upload: MeasuredFile,
): Promise<{ readonly asset: Asset; readonly isNew: boolean }> {
  const id = uuidV5(`${tenant}:${upload.sha256}`, COMFYQ_NAMESPACE);
  const known = await readAsset(storage, tenant, id);
  if (known) return { asset: known, isNew: false };
  const keys = assetKeys(tenant, id);
  const { contentType, sizeBytes } = upload;
  await storage.put(keys.content, upload.open(), { contentType, sizeBytes });
  const asset: Asset = {
    id,
    hash: `sha256:${upload.sha256}`,
    size_bytes: sizeBytes,
    content_type: contentType,
    name: upload.name,
    created_at: toMoment(nowMs()),
  };
  const { created } = await storage.putIfAbsent(keys.description, JSON.stringify(asset), {
    contentType: "application/json",
  });
  return { asset: created ? asset : ((await readAsset(storage, tenant, id)) ?? asset), isNew: created };
}
