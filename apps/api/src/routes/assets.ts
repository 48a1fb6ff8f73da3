import { Asset, AssetHash, AssetId, assetKeys } from "@comfyq/contract";
import * as z from "zod";
import { notFound } from "../errors.ts";
import { checkAssetType } from "../objects/assetTypes.ts";
import { findAsset, keepAsset, readAsset, removeAsset } from "../objects/keepAsset.ts";
import { readUpload } from "../objects/readUpload.ts";
import type { SentObject } from "../objects/sendObject.ts";
import { sendStored } from "../objects/sendStored.ts";
import { spoolFolder } from "../objects/spoolFile.ts";
import type { Rooms } from "../rooms.ts";
import { type Call, json, type Route, route } from "../route.ts";
import { BYTES_ANSWERS } from "./showOutput.ts";

const Params = z.object({ id: AssetId });
const UploadForm = z.object({ file: z.string().meta({ format: "binary", description: "The file" }) });

/** Uploaded inputs, addressed by content. */
export function assetRoutes(rooms: Rooms): readonly Route[] {
  const shared = { tag: "Assets", params: Params, errors: ["not_found"] } as const;
  return [
    uploadRoute(rooms),
    findRoute(rooms),
    route({
      ...shared,
      method: "get",
      path: "/v1/assets/{id}",
      scope: "read",
      summary: "Read what is known of an asset",
      answers: { 200: json("The asset", Asset) },
      run: async (call) => void call.res.json(await ownAsset(rooms, call)),
    }),
    route({
      ...shared,
      method: "get",
      path: "/v1/assets/{id}/content",
      scope: "read",
      summary: "Read an asset's bytes",
      answers: BYTES_ANSWERS,
      run: async (call) => sendStored(rooms, call, contentOf(call.caller.tenant, await ownAsset(rooms, call))),
    }),
    route({
      ...shared,
      errors: ["not_found", "asset_in_use"],
      method: "delete",
      path: "/v1/assets/{id}",
      scope: "submit",
      summary: "Remove an asset that no job names",
      answers: { 204: { description: "It is gone" } },
      run: async (call) => {
        await removeAsset(rooms, call.caller.tenant, await ownAsset(rooms, call));
        call.res.status(204).end();
      },
    }),
  ];
}

function uploadRoute(rooms: Rooms): Route {
  const folder = spoolFolder(rooms.settings);
  return route({
    method: "post",
    path: "/v1/assets",
    scope: "submit",
    tag: "Assets",
    summary: "Upload an input",
    description: "The same bytes are the same asset, however often they are sent. Name it in a job as asset:<id>.",
    body: { "multipart/form-data": { schema: UploadForm } },
    answers: assetAnswers(Asset),
    errors: ["invalid_request", "payload_too_large", "unsupported_media_type", "conflict"],
    run: async (call) => sendAsset(call, await takeUpload(rooms, call, folder)),
  });
}

/** How a call that keeps an asset answers. */
export function assetAnswers(schema: typeof Asset) {
  return { 201: json("The asset, new", schema), 200: json("The asset, which was there already", schema) };
}

export function sendAsset(call: Call, { asset, isNew }: { readonly asset: Asset; readonly isNew: boolean }): void {
  call.res
    .status(isNew ? 201 : 200)
    .set("Location", `${call.baseUrl}/v1/assets/${asset.id}`)
    .json(asset);
}

function findRoute(rooms: Rooms): Route {
  return route({
    method: "get",
    path: "/v1/assets",
    scope: "read",
    tag: "Assets",
    summary: "Find an asset by its hash",
    description: "So that bytes which are there already need not be sent again. HEAD asks for no more than yes or no.",
    query: z.object({ hash: AssetHash }),
    answers: { 200: json("The asset", Asset) },
    errors: ["invalid_request", "not_found"],
    run: async (call) => {
      const asset = await findAsset(rooms.storage, call.caller.tenant, call.query.hash);
      if (!asset) throw notFound("asset", call.query.hash);
      call.res.json(asset);
    },
  });
}

/** The spooled bytes are gone when this returns, so an answer means that nothing is left over. */
async function takeUpload(rooms: Rooms, call: Call, folder: string) {
  const maxBytes = rooms.settings.COMFYQ_MAX_ASSET_BYTES;
  await using upload = await readUpload(call.req, { folder, maxBytes, signal: call.signal });
  checkAssetType(upload.contentType, rooms.settings.COMFYQ_ASSET_TYPES);
  return await keepAsset(rooms, call.caller.tenant, upload);
}

/** Where an asset's bytes are, and as what they are sent. */
export function contentOf(tenant: string, { id, name, content_type: contentType, hash }: Asset): SentObject {
  return { key: assetKeys(tenant, id).content, name, contentType, sha256: hash.replace("sha256:", "") };
}

async function ownAsset(rooms: Rooms, call: Call): Promise<Asset> {
  const id = call.params["id"] ?? "";
  const asset = AssetId.safeParse(id).success ? await readAsset(rooms.storage, call.caller.tenant, id) : undefined;
  if (!asset) throw notFound("asset", id);
  return asset;
}
