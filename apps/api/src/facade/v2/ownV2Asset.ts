import type { JobFacts } from "@comfyq/contract";
import { type Asset, AssetId } from "@comfyq/contract";
import { notFound } from "../../errors.ts";
import { readAsset } from "../../objects/keepAsset.ts";
import type { Rooms } from "../../rooms.ts";
import { type FoundOutput, findOutput } from "./outputIds.ts";

/** What an asset's id can name: uploaded bytes, or a job's output. */
export type OwnV2Asset =
  | { readonly kind: "uploaded"; readonly asset: Asset }
  | { readonly kind: "output"; readonly job: JobFacts; readonly output: FoundOutput };

/** The tenant's asset of this id. @throws ApiError `not_found`, the same for unknown ids and for somebody else's */
export async function ownV2Asset(rooms: Rooms, tenant: string, id: string): Promise<OwnV2Asset> {
  const asset = AssetId.safeParse(id).success ? await readAsset(rooms.storage, tenant, id) : undefined;
  if (asset) return { kind: "uploaded", asset };
  const found = await findOutput(rooms, tenant, id);
  if (found) return { kind: "output", ...found };
  throw notFound("asset", id);
}
