import { extname } from "node:path";
import { isSafePath, SAFE_PATH_RULE } from "@comfyq/contract";
import { ApiError } from "../../errors.ts";
import { checkAssetType } from "../../objects/assetTypes.ts";
import { keepAsset } from "../../objects/keepAsset.ts";
import { type MeasuredFile, readUpload, type Upload } from "../../objects/readUpload.ts";
import { spoolFolder } from "../../objects/spoolFile.ts";
import type { Rooms } from "../../rooms.ts";
import type { Call, Route } from "../../route.ts";
import { contentNameOf } from "../cloud/contentNames.ts";
import { isCloudClient } from "../cloud/isCloudClient.ts";
import { comfyRoute } from "./comfyRoute.ts";
import { maskedOriginal } from "./maskedOriginal.ts";
import type { ComfyTools } from "./tools.ts";
import { UploadFolder, type UploadShelf } from "./uploadShelf.ts";

/** Names tried for a file whose name others have, with other bytes. */
const MOST_NAMES = 100;

/** `POST /upload/image` and `/upload/mask`: the bytes become an asset, and the name is remembered; any kind of file is taken. */
export function uploadRoutes(rooms: Rooms, tools: ComfyTools): readonly Route[] {
  const { uploads } = tools;
  const post = { method: "post", scope: "submit" } as const;
  return [
    ...comfyRoute({
      ...post,
      path: "/upload/image",
      summary: "Upload a file to be named in a graph: multipart with image, subfolder, type and overwrite",
      run: (call) =>
        withUpload(rooms, call, async (upload) => {
          call.res.json(await shelve(call, { place: placeOf(upload), file: upload, uploads, rooms }));
        }),
    }),
    ...comfyRoute({
      ...post,
      path: "/upload/mask",
      summary: "The picture that original_ref names, with the transparency of the uploaded image: the same fields",
      run: (call) =>
        withUpload(rooms, call, async (upload) => {
          const place = placeOf(upload);
          const file = await maskedOriginal(rooms, call, { mask: upload, tools });
          call.res.json(await shelve(call, { place, file, uploads, rooms }));
        }),
    }),
  ];
}

async function withUpload(rooms: Rooms, call: Call, use: (upload: Upload) => Promise<void>): Promise<void> {
  const { settings } = rooms;
  const limits = { folder: spoolFolder(settings), maxBytes: settings.COMFYQ_MAX_ASSET_BYTES, signal: call.signal };
  await using upload = await readUpload(call.req, limits);
  checkAssetType(upload.contentType, settings.COMFYQ_ASSET_TYPES);
  await use(upload);
}

/** Where a client wants a file to be. */
interface Place {
  readonly type: UploadFolder;
  readonly subfolder: string;
  readonly isOverwrite: boolean;
}

/** @throws ApiError `invalid_request` */
function placeOf({ fields }: Upload): Place {
  const field = (name: string) => fields.get(name)?.at(-1);
  const type = UploadFolder.safeParse(field("type") ?? "input");
  if (!type.success) throw new ApiError("invalid_request", "type must be input, temp or output");
  const subfolder = (field("subfolder") ?? "")
    .split(/[\\/]/)
    .filter((part) => part !== "" && part !== ".")
    .join("/");
  if (subfolder !== "" && !isSafePath(subfolder))
    throw new ApiError("invalid_request", `The subfolder cannot be taken: ${SAFE_PATH_RULE}`);
  const isOverwrite = ["true", "1"].includes(field("overwrite") ?? ""); // exactly these, as ComfyUI reads it
  return { type: type.data, subfolder, isOverwrite };
}

interface Shelving {
  readonly place: Place;
  readonly file: MeasuredFile;
  readonly uploads: UploadShelf;
  readonly rooms: Rooms;
}

async function shelve(call: Call, { place, file, uploads, rooms }: Shelving) {
  const { tenant } = call.caller;
  const { type, subfolder, isOverwrite } = place;
  const { asset } = await keepAsset(rooms, tenant, file);
  if (isCloudClient(call)) return { name: contentNameOf(file), subfolder, type };
  const at = (name: string) => (subfolder === "" ? name : `${subfolder}/${name}`);
  const name = isOverwrite ? file.name : await freeName(tenant, { file, uploads, type, at });
  await uploads.put(tenant, type, { path: at(name), file: { assetId: asset.id, sha256: file.sha256 } });
  return { name, subfolder, type };
}

interface Naming {
  readonly file: MeasuredFile;
  readonly uploads: UploadShelf;
  readonly type: UploadFolder;
  readonly at: (name: string) => string;
}

/** The name itself, or the first ` (n)` that is free or has the same bytes already. @throws ApiError `conflict` */
async function freeName(tenant: string, { file, uploads, type, at }: Naming): Promise<string> {
  const extension = extname(file.name);
  const stem = file.name.slice(0, file.name.length - extension.length);
  const names = Array.from({ length: MOST_NAMES }, (_, count) =>
    count === 0 ? file.name : `${stem} (${count})${extension}`,
  );
  const taken = await uploads.find(tenant, type, names.map(at));
  const free = names.find((name) => (taken.get(at(name))?.sha256 ?? file.sha256) === file.sha256);
  if (free !== undefined) return free;
  throw new ApiError("conflict", `${MOST_NAMES} files have this name already; choose another, or set overwrite`);
}
