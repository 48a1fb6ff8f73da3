import { AssetHash } from "@comfyq/contract";
import { nowMs } from "@comfyq/runtime";
import * as z from "zod";
import { parseJson } from "../../body/parseJson.ts";
import { readBody } from "../../body/readBody.ts";
import { ApiError, quoted } from "../../errors.ts";
import { checkAssetType } from "../../objects/assetTypes.ts";
import { findAsset, keepAsset } from "../../objects/keepAsset.ts";
import { cleanName, readUpload, typeFor, type Upload } from "../../objects/readUpload.ts";
import { spoolFolder } from "../../objects/spoolFile.ts";
import type { Rooms } from "../../rooms.ts";
import { type Call, json, type Route, route } from "../../route.ts";
import { refusedV2Body } from "./refusedV2Body.ts";
import { showV2Asset } from "./showV2.ts";
import { SINGLE_USE_KEY, V2_TAG } from "./submitV2Job.ts";
import { useOnce } from "./useOnce.ts";
import { V2_BASE, V2_DOOR } from "./v2Door.ts";
import { V2Asset, V2AssetForm, V2FromHash } from "./v2Schemas.ts";

const BODY_BYTES = 65_536;
const ANSWERS = {
  201: json("The asset, new", V2Asset),
  200: json("The asset, whose bytes were there already", V2Asset),
};

/** How assets come to be: by their bytes, or by the hash of bytes that are there. */
export function keepV2AssetRoutes(rooms: Rooms): readonly Route[] {
  const shared = { method: "post", scope: "submit", door: V2_DOOR, tag: V2_TAG, answers: ANSWERS } as const;
  const File = z
    .string()
    .meta({ format: "binary", description: "The bytes; the other fields may come before or after" });
  return [
    route({
      ...shared,
      path: `${V2_BASE}/assets`,
      summary: "Upload an asset",
      headers: SINGLE_USE_KEY,
      body: { "multipart/form-data": { schema: V2AssetForm.extend({ file: File }).meta({ id: "V2AssetUpload" }) } },
      errors: [
        "invalid_request",
        "hash_mismatch",
        "idempotency_key_reuse",
        "payload_too_large",
        "unsupported_media_type",
        "conflict",
      ],
      // Nothing is ever `sent`: the same bytes are the same asset, so a repeat can do no harm whatever came of the first.
      run: (call) => useOnce(rooms, call, () => takeUpload(rooms, call)),
    }),
    route({
      ...shared,
      path: `${V2_BASE}/assets/from-hash`,
      summary: "Make an asset of bytes that are there already",
      body: { "application/json": { schema: V2FromHash } },
      errors: ["invalid_json", "invalid_request", "blob_not_found", "payload_too_large", "unsupported_media_type"],
      run: (call) => fromHash(rooms, call),
    }),
  ];
}

async function takeUpload(rooms: Rooms, call: Call): Promise<void> {
  const { settings } = rooms;
  const limits = { folder: spoolFolder(settings), maxBytes: settings.COMFYQ_MAX_ASSET_BYTES, signal: call.signal };
  await using upload = await readUpload(call.req, limits);
  const form = readForm(upload);
  const name = cleanName(form.file_path);
  const contentType = typeFor(name, form.content_type);
  checkAssetType(contentType, settings.COMFYQ_ASSET_TYPES);
  checkHash(upload, form.expected_hash);
  const { asset, isNew } = await keepAsset(rooms, call.caller.tenant, { ...upload, name, contentType });
  const shown = await showV2Asset(rooms, call, asset, nowMs());
  call.res.status(isNew ? 201 : 200).json({ ...shown, created_new: isNew });
}

/** @throws ApiError `invalid_request` naming every field that is wrong, or that there is not */
function readForm({ fields }: Upload): z.infer<typeof V2AssetForm> {
  const sent = Object.fromEntries(
    [...fields].map(([name, values]) => [name, name === "tags" || values.length > 1 ? values : values[0]]),
  );
  const parsed = V2AssetForm.safeParse(sent);
  if (parsed.success) return parsed.data;
  throw refusedV2Body(parsed.error, V2AssetForm);
}

/** @throws ApiError `hash_mismatch`; nothing is kept then */
function checkHash({ blake3, sha256 }: Upload, expected: string | undefined): void {
  if (expected === undefined || expected === `blake3:${blake3}` || expected === `sha256:${sha256}`) return;
  const found = expected.startsWith("sha256:") ? `sha256:${sha256}` : `blake3:${blake3}`;
  throw new ApiError("hash_mismatch", `The bytes that came have the hash ${found}, not ${expected}; send them again`);
}

async function fromHash(rooms: Rooms, call: Call): Promise<void> {
  const { tenant } = call.caller;
  const parsed = V2FromHash.safeParse(parseJson(await readBody(call.req, BODY_BYTES), '{"hash": "blake3:…"}'));
  if (!parsed.success) throw refusedV2Body(parsed.error, V2FromHash);
  const hash = AssetHash.safeParse(parsed.data.hash).data;
  const asset = hash === undefined ? undefined : await findAsset(rooms.storage, tenant, hash);
  const going = asset && (await rooms.producer.touchAssets(tenant, [asset.id])).going;
  if (!asset || going?.length !== 0)
    throw new ApiError("blob_not_found", `There are no bytes of the hash ${quoted(parsed.data.hash)}; upload them`);
  call.res.status(200).json({ ...(await showV2Asset(rooms, call, asset, nowMs())), created_new: false });
}
