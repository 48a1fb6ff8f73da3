import * as z from "zod";
import { AssetId, Moment, Uuid } from "./ids.ts";

/** Bytes a customer uploaded, addressed by content: the same bytes of one tenant are one asset. */
export const Asset = z
  .object({
    id: AssetId,
    hash: z.string().meta({ description: "sha256:<hex>" }),
    blake3: z.string().optional().meta({ description: "blake3:<hex>; assets kept by older versions have none" }),
    size_bytes: z.int().nonnegative(),
    content_type: z.string(),
    name: z.string(),
    created_at: Moment,
  })
  .meta({ id: "Asset" });
export type Asset = z.infer<typeof Asset>;

/** One of an asset's hashes, to find it by. */
export const AssetHash = z
  .string()
  .regex(/^(?:sha256|blake3):[0-9a-f]{64}$/, "must be sha256:<hex> or blake3:<hex>, 64 digits, lower case");

const fileName = z
  .string()
  .min(1)
  .max(255)
  .regex(/^[^\p{Cc}\p{Cf}/\\]+$/u, "must be a file's name without folders")
  .refine((name) => !/^\.{1,2}$/.test(name), "must be a file's name");

/** What a customer may send to `POST /v1/assets/uploads`: the bytes follow by the link in the answer. */
export const NewAssetUpload = z
  .strictObject({
    name: fileName,
    size_bytes: z.int().min(1).meta({ description: "Exactly so many bytes are taken" }),
    content_type: z.string().min(1).max(255).optional().meta({ description: "Default: by the name" }),
    sha256: z
      .string()
      .regex(/^[0-9a-f]{64}$/, "must be 64 hex digits, lower case")
      .optional()
      .meta({ description: "The bytes must have this hash; without it they are taken as they come" }),
  })
  .meta({ id: "NewAssetUpload" });
export type NewAssetUpload = z.infer<typeof NewAssetUpload>;

/** How the bytes are sent. */
export const AssetUpload = z
  .object({
    id: Uuid,
    url: z.string().meta({ description: "Where the bytes go; no key is asked for" }),
    method: z.literal("PUT"),
    headers: z.record(z.string(), z.string()).meta({ description: "To be sent along" }),
    expires_at: Moment,
  })
  .meta({ id: "AssetUpload" });
export type AssetUpload = z.infer<typeof AssetUpload>;

/** An upload as it is kept until its bytes are an asset. */
export const KeptUpload = NewAssetUpload.extend({ asset_id: AssetId.optional() });
export type KeptUpload = z.infer<typeof KeptUpload>;

/** Everything below it is one asset. */
export function assetPrefix(tenant: string, assetId: string): string {
  return `assets/${tenant}/${assetId}/`;
}

/** Where an asset's bytes and its description stand in storage. */
export function assetKeys(tenant: string, assetId: string): { readonly content: string; readonly description: string } {
  const prefix = assetPrefix(tenant, assetId);
  return { content: `${prefix}content`, description: `${prefix}asset.json` };
}

/** Where the id stands of the asset that has this hash. For sha256 there is no need: the id is made of it. */
export function assetHashKey(tenant: string, hash: string): string {
  return `assets/${tenant}/by-hash/${hash.replace(":", "/")}`;
}

/** All uploads that have not become assets yet. */
export const UPLOADS_PREFIX = "uploads/";

/** Where an upload's bytes and what was said of them stand until it is an asset. */
export function uploadKeys(
  tenant: string,
  uploadId: string,
): { readonly content: string; readonly description: string } {
  const prefix = `${UPLOADS_PREFIX}${tenant}/${uploadId}/`;
  return { content: `${prefix}content`, description: `${prefix}upload.json` };
}

/** The asset whose description stands under this key; undefined when it is none. */
export function assetOfKey(key: string): { readonly tenant: string; readonly id: string } | undefined {
  const [, tenant, id] = /^assets\/([^/]+)\/([0-9a-f-]{36})\/asset\.json$/.exec(key) ?? [];
  return tenant === undefined || id === undefined ? undefined : { tenant, id };
}
