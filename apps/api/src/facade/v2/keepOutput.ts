import { Readable } from "node:stream";
import type { Asset } from "@comfyq/contract";
import { keepAsset } from "../../objects/keepAsset.ts";
import { prepareSpool, spoolFolder } from "../../objects/spoolFile.ts";
import type { Rooms } from "../../rooms.ts";
import type { FoundOutput } from "./outputIds.ts";
import { valueFile } from "./valueFile.ts";

/**
 * Makes an asset of an output, so that the next job can have it as an input: it is kept from then on, whatever becomes of its
 * job. Within our own store, so it takes no longer than reading the file.
 * @throws ApiError `payload_too_large` when it is larger than an upload may be
 */
export async function keepOutput(
  rooms: Rooms,
  { tenant, signal }: { readonly tenant: string; readonly signal: AbortSignal },
  output: FoundOutput,
): Promise<Asset> {
  const { name } = output;
  const limits = { folder: spoolFolder(rooms.settings), maxBytes: rooms.settings.COMFYQ_MAX_ASSET_BYTES, signal };
  const fill = await prepareSpool(limits);
  const { body, contentType } = await openOutput(rooms, output, signal);
  await using spooled = await fill(body);
  const { asset } = await keepAsset(rooms, tenant, { ...spooled, name, contentType });
  return asset;
}

async function openOutput({ storage }: Rooms, output: FoundOutput, signal: AbortSignal) {
  if ("value" in output) {
    const { content, contentType } = valueFile(output);
    return { body: Readable.from([Buffer.from(content)]), contentType };
  }
  return { body: (await storage.get(output.key, { signal })).body, contentType: output.content_type };
}
