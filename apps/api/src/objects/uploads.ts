import { json } from "node:stream/consumers";
import { KeptUpload, type NewAssetUpload, uploadKeys } from "@comfyq/contract";
import { ApiError, notFound } from "../errors.ts";
import type { Rooms } from "../rooms.ts";
import { keepAsset, readAsset } from "./keepAsset.ts";
import { typeFor } from "./readUpload.ts";
import { prepareSpool } from "./spoolFile.ts";

/** Links for uploads work for so long. */
const LINK_SECONDS = 3_600;

/** Notes what is to come, and makes the link by which it comes. */
export async function beginUpload(rooms: Rooms, tenant: string, id: string, upload: NewAssetUpload) {
  const keys = uploadKeys(tenant, id);
  await rooms.storage.put(keys.description, JSON.stringify(upload), { contentType: "application/json" });
  return rooms.storage.uploadLink(keys.content, { sizeBytes: upload.size_bytes, ttlSeconds: LINK_SECONDS });
}

interface Completion {
  readonly tenant: string;
  readonly id: string;
  readonly folder: string;
  readonly signal: AbortSignal;
}

/**
 * Makes an asset of what was uploaded: its length and hash are those of the bytes that the store has now. Safe to repeat.
 * @throws ApiError `not_found` | `conflict` when nothing, or something of another length, was uploaded; `hash_mismatch`
 */
export async function completeUpload(rooms: Rooms, completion: Completion) {
  const { tenant, id } = completion;
  const upload = await readKept(rooms, tenant, id);
  const done = upload.asset_id === undefined ? undefined : await readAsset(rooms.storage, tenant, upload.asset_id);
  if (done) return { asset: done, isNew: false };
  const kept = await keepUploaded(rooms, upload, completion);
  await forgetBytes(rooms, tenant, id, { ...upload, asset_id: kept.asset.id });
  return kept;
}

async function readKept({ storage }: Rooms, tenant: string, id: string): Promise<KeptUpload> {
  const { description } = uploadKeys(tenant, id);
  if (!(await storage.head(description))) throw notFound("upload", id);
  return KeptUpload.parse(await json((await storage.get(description)).body));
}

async function keepUploaded(rooms: Rooms, upload: KeptUpload, completion: Completion) {
  const { tenant, id, folder, signal } = completion;
  const { content } = uploadKeys(tenant, id);
  const facts = await rooms.storage.head(content);
  if (!facts) throw new ApiError("conflict", `Nothing was uploaded for ${id} yet; PUT the bytes to its url first`);
  if (facts.totalBytes !== upload.size_bytes)
    throw new ApiError(
      "conflict",
      `${facts.totalBytes} bytes were uploaded, and ${upload.size_bytes} were announced; upload it again`,
    );
  const fill = await prepareSpool({ folder, maxBytes: upload.size_bytes, signal });
  await using spooled = await fill((await rooms.storage.get(content, { signal })).body);
  if (upload.sha256 !== undefined && upload.sha256 !== spooled.sha256)
    throw new ApiError(
      "hash_mismatch",
      `The uploaded bytes have the sha256 ${spooled.sha256}, not ${upload.sha256}; upload the right ones, or begin anew`,
    );
  const contentType = typeFor(upload.name, upload.content_type);
  return await keepAsset(rooms, tenant, { ...spooled, name: upload.name, contentType }); // while it is on the disk
}

/** Whoever asks again is told the asset; the bytes have a place of their own by now. */
async function forgetBytes({ storage }: Rooms, tenant: string, id: string, upload: KeptUpload): Promise<void> {
  const keys = uploadKeys(tenant, id);
  await storage.put(keys.description, JSON.stringify(upload), { contentType: "application/json" });
  await storage.remove(keys.content);
}
