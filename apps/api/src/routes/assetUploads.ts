import { Asset, AssetUpload, NewAssetUpload, toMoment, Uuid } from "@comfyq/contract";
import { newId, nowMs } from "@comfyq/runtime";
import { verifyFolderUpload } from "@comfyq/storage";
import * as z from "zod";
import { readWish } from "../body/readWish.ts";
import { ApiError, notFound } from "../errors.ts";
import { checkAssetType } from "../objects/assetTypes.ts";
import { typeFor } from "../objects/readUpload.ts";
import { spoolFolder, tooLarge } from "../objects/spoolFile.ts";
import { beginUpload, completeUpload } from "../objects/uploads.ts";
import type { Rooms } from "../rooms.ts";
import { type Call, json, type Route, route } from "../route.ts";
import { assetAnswers, sendAsset } from "./assets.ts";

/** What the folder store puts before its links for uploads. */
export const UPLOAD_BASE = "/v1/uploads";

const EXAMPLE: NewAssetUpload = { name: "clip.mp4", size_bytes: 73_400_320 };

/** Large inputs: straight into the store by a link, and then made an asset. */
export function assetUploadRoutes(rooms: Rooms): readonly Route[] {
  return [beginRoute(rooms), completeRoute(rooms), takeRoute(rooms)];
}

function beginRoute(rooms: Rooms): Route {
  return route({
    method: "post",
    path: "/v1/assets/uploads",
    scope: "submit",
    tag: "Assets",
    summary: "Begin to upload a large input",
    description: "PUT the bytes to the url of the answer, with its headers, and then complete the upload.",
    body: { "application/json": { schema: NewAssetUpload, example: EXAMPLE } },
    answers: { 201: json("Where the bytes go", AssetUpload) },
    errors: ["invalid_json", "invalid_request", "payload_too_large", "unsupported_media_type"],
    run: async (call) => {
      const upload = await readUpload(rooms, call);
      const id = newId();
      const link = await beginUpload(rooms, call.caller.tenant, id, upload);
      const url = link.url.startsWith("/") ? call.baseUrl + link.url : link.url;
      const answer: AssetUpload = {
        ...{ id, url, method: link.method, headers: link.headers },
        expires_at: toMoment(link.expiresAtMs),
      };
      call.res.status(201).set("Cache-Control", "no-store").json(answer);
    },
  });
}

async function readUpload(rooms: Rooms, call: Call): Promise<NewAssetUpload> {
  const { settings } = rooms;
  const form = { schema: NewAssetUpload, example: JSON.stringify(EXAMPLE), undone: "begun" } as const;
  const upload = await readWish(rooms, call, form);
  const { name, size_bytes, content_type } = upload;
  if (size_bytes > settings.COMFYQ_MAX_ASSET_BYTES) throw tooLarge(settings.COMFYQ_MAX_ASSET_BYTES);
  checkAssetType(typeFor(name, content_type), settings.COMFYQ_ASSET_TYPES);
  return upload;
}

function completeRoute(rooms: Rooms): Route {
  const folder = spoolFolder(rooms.settings);
  return route({
    method: "post",
    path: "/v1/assets/uploads/{id}/complete",
    scope: "submit",
    tag: "Assets",
    summary: "Make an asset of what was uploaded",
    description: "Its length and hash are checked against what was announced. Repeating it gives the same asset.",
    params: z.object({ id: Uuid }),
    answers: assetAnswers(Asset),
    errors: ["not_found", "conflict", "hash_mismatch"],
    run: async (call) => {
      const id = call.params["id"] ?? "";
      if (!Uuid.safeParse(id).success) throw notFound("upload", id);
      const { tenant } = call.caller;
      sendAsset(call, await completeUpload(rooms, { tenant, id, folder, signal: call.signal }));
    },
  });
}

const Query = z.looseObject({ expires: z.string(), size: z.string(), signature: z.string() }).partial();

/** Where the links of a folder store lead: whoever has one may store these many bytes until it expires; no key is asked for. */
function takeRoute(rooms: Rooms): Route {
  return route({
    method: "put",
    path: `${UPLOAD_BASE}/{key...}`,
    scope: "open",
    tag: "Assets",
    summary: "Send the bytes of an upload by its link",
    description: "The url of an upload leads here when files are kept in a folder, and into the bucket otherwise.",
    params: z.object({ key: z.string() }),
    query: Query,
    answers: { 204: { description: "All bytes are there" } },
    errors: ["forbidden", "not_found", "invalid_request"],
    run: async (call) => {
      if (rooms.storage.kind !== "folder") throw new ApiError("not_found", "Uploads go to S3; links lead there");
      const key = call.params["key"] ?? "";
      const verdict = verifyFolderUpload({ key, query: call.query, secret: rooms.linkSecret, nowMs: nowMs() });
      if (!verdict.valid) throw refusedLink(verdict.reason);
      await takeBytes(rooms, call, { key, sizeBytes: verdict.sizeBytes });
      call.res.status(204).end();
    },
  });
}

function refusedLink(reason: "malformed" | "signature" | "expired"): ApiError {
  return new ApiError(
    "forbidden",
    reason === "expired"
      ? "This link has expired; begin the upload anew"
      : "This link was not made here, or was changed; use the url of an upload as it came",
  );
}

async function takeBytes(
  { storage }: Rooms,
  { req, signal }: Call,
  { key, sizeBytes }: { readonly key: string; readonly sizeBytes: number },
): Promise<void> {
  const declared = req.get("content-length");
  if (declared !== undefined && Number(declared) !== sizeBytes) throw wrongLength(declared, sizeBytes);
  try {
    await storage.put(key, req, { contentType: "application/octet-stream", sizeBytes, signal });
  } catch (error) {
    const { code } = error as { code?: unknown }; // errors of the store carry one
    throw code === "size_mismatch" ? wrongLength("other", sizeBytes) : error;
  }
}

function wrongLength(found: string, sizeBytes: number): ApiError {
  return new ApiError(
    "invalid_request",
    `The upload has ${found} bytes, and ${sizeBytes} were announced; send just these`,
    {
      headers: { Connection: "close" },
    },
  );
}
