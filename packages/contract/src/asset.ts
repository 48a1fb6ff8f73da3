import * as z from "zod";
import { AssetId, Moment } from "./ids.ts";

/** Bytes a customer uploaded, addressed by content: the same bytes of one tenant are one asset. */
export const Asset = z
  .object({
    id: AssetId,
    hash: z.string().meta({ description: "sha256:<hex>" }),
    size_bytes: z.int().nonnegative(),
    content_type: z.string(),
    name: z.string(),
    created_at: Moment,
  })
  .meta({ id: "Asset" });
export type Asset = z.infer<typeof Asset>;

/** Where an asset's bytes and its description stand in storage. */
export function assetKeys(tenant: string, assetId: string): { readonly content: string; readonly description: string } {
  return { content: `assets/${tenant}/${assetId}/content`, description: `assets/${tenant}/${assetId}/asset.json` };
}
