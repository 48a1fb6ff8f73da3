import { AssetHash } from "@comfyq/contract";
import { nowMs } from "@comfyq/runtime";
import * as z from "zod";
import { ApiError, notFound } from "../../errors.ts";
import { findAsset, removeAsset } from "../../objects/keepAsset.ts";
import { sendStored } from "../../objects/sendStored.ts";
import type { Rooms } from "../../rooms.ts";
import { type Call, json, type Route, route } from "../../route.ts";
import { contentOf } from "../../routes/assets.ts";
import { BYTES_ANSWERS } from "../../routes/showOutput.ts";
import type { FoundOutput } from "./outputIds.ts";
import { ownV2Asset } from "./ownV2Asset.ts";
import { showOutputAsset, showV2Asset } from "./showV2.ts";
import { V2_TAG } from "./submitV2Job.ts";
import { V2_BASE, V2_DOOR } from "./v2Door.ts";
import { V2Asset } from "./v2Schemas.ts";
import { valueFile } from "./valueFile.ts";

const Params = z.object({ id: z.string().meta({ description: "Id of an asset, or of an output" }) });
const HashParams = z.object({ hash: z.string().meta({ description: "blake3:<hex>" }) });

/** What is there already: uploads, and outputs, which are assets here. */
export function v2AssetRoutes(rooms: Rooms): readonly Route[] {
  const shared = { door: V2_DOOR, tag: V2_TAG, params: Params, errors: ["not_found"] } as const;
  return [
    route({
      ...shared,
      params: HashParams,
      errors: [],
      method: "head",
      path: `${V2_BASE}/assets/by-hash/{hash}`,
      scope: "read",
      summary: "Ask whether bytes are there already",
      answers: { 200: { description: "They are, and are yours" }, 404: { description: "They are not" } },
      run: async (call) => {
        const hash = AssetHash.safeParse(call.params["hash"]).data;
        const found = hash === undefined ? undefined : await findAsset(rooms.storage, call.caller.tenant, hash);
        call.res.status(found ? 200 : 404).end();
      },
    }),
    route({
      ...shared,
      method: "get",
      path: `${V2_BASE}/assets/{id}`,
      scope: "read",
      summary: "Read what is known of an asset",
      answers: { 200: json("The asset", V2Asset) },
      run: async (call) => void call.res.json(await showOwn(rooms, call)),
    }),
    route({
      ...shared,
      method: "get",
      path: `${V2_BASE}/assets/{id}/content`,
      scope: "read",
      summary: "Read an asset's bytes",
      answers: BYTES_ANSWERS,
      run: (call) => sendContent(rooms, call),
    }),
    route({
      ...shared,
      errors: ["not_found", "asset_in_use"],
      method: "delete",
      path: `${V2_BASE}/assets/{id}`,
      scope: "submit",
      summary: "Remove an asset that nothing uses",
      description: "Outputs are used by their job, and go with it.",
      answers: { 204: { description: "It is gone" } },
      run: async (call) => {
        const own = await ownV2Asset(rooms, call.caller.tenant, call.params["id"] ?? "");
        if (own.kind === "output") throw new ApiError("asset_in_use", "An output goes with its job");
        await removeAsset(rooms, call.caller.tenant, own.asset);
        call.res.status(204).end();
      },
    }),
  ];
}

/** To read of an asset counts as a use, so that its `expires_at` is true. */
async function showOwn(rooms: Rooms, call: Call): Promise<V2Asset> {
  const { tenant } = call.caller;
  const id = call.params["id"] ?? "";
  const own = await ownV2Asset(rooms, tenant, id);
  if (own.kind === "output") return showOutputAsset(rooms, call, own);
  const { going } = await rooms.producer.touchAssets(tenant, [own.asset.id]);
  if (going.length > 0) throw notFound("asset", id);
  return showV2Asset(rooms, call, own.asset, nowMs());
}

async function sendContent(rooms: Rooms, call: Call): Promise<void> {
  const { tenant } = call.caller;
  const own = await ownV2Asset(rooms, tenant, call.params["id"] ?? "");
  return own.kind === "uploaded"
    ? sendStored(rooms, call, contentOf(tenant, own.asset))
    : sendOutput(rooms, call, own.output);
}

async function sendOutput(rooms: Rooms, call: Call, output: FoundOutput): Promise<void> {
  if ("value" in output) {
    const { content, contentType } = valueFile(output);
    return void call.res.set({ "Content-Type": contentType, "X-Content-Type-Options": "nosniff" }).end(content);
  }
  const { key, name, content_type: contentType, sha256 } = output;
  return sendStored(rooms, call, { key, name, contentType, sha256 });
}
