import { extname, join, resolve } from "node:path";
import { isSafePath, SAFE_PATH_RULE } from "@comfyq/contract";
import { ApiError } from "../../errors.ts";
import { checkAssetType } from "../../objects/assetTypes.ts";
import { keepAsset } from "../../objects/keepAsset.ts";
import { readUpload, type Upload } from "../../objects/readUpload.ts";
import type { Rooms } from "../../rooms.ts";
import type { Call, Route } from "../../route.ts";
import { contentNameOf } from "../cloud/contentNames.ts";
import { isCloudClient } from "../cloud/isCloudClient.ts";
import { comfyRoute } from "./comfyRoute.ts";
import { UploadFolder, type UploadShelf } from "./uploadShelf.ts";

/** Names tried for a file whose name others have, with other bytes. */
const MOST_NAMES = 100;

/** `POST /upload/image`: the bytes become an asset, and the name is remembered; any kind of file is taken. */
export function uploadRoutes(rooms: Rooms, { uploads }: { readonly uploads: UploadShelf }): readonly Route[] {
  const folder = join(resolve(rooms.settings.COMFYQ_DATA_DIR), "spool");
  return comfyRoute({
    method: "post",
    path: "/upload/image",
    scope: "submit",
    summary: "Upload a file to be named in a graph: multipart with image, subfolder, type and overwrite",
    run: async (call) => {
      const maxBytes = rooms.settings.COMFYQ_MAX_ASSET_BYTES;
      await using upload = await readUpload(call.req, { folder, maxBytes, signal: call.signal });
      checkAssetType(upload.contentType, rooms.settings.COMFYQ_ASSET_TYPES);
      call.res.json(await shelve(call, { upload, uploads, rooms }));
    },
  });
}

interface Shelving {
  readonly upload: Upload;
  readonly uploads: UploadShelf;
  readonly rooms: Rooms;
}

async function shelve(call: Call, { upload, uploads, rooms }: Shelving) {
  const field = (name: string) => upload.fields.get(name)?.at(-1);
  const type = UploadFolder.safeParse(field("type") ?? "input");
  if (!type.success) throw new ApiError("invalid_request", "type must be input, temp or output");
  const subfolder = (field("subfolder") ?? "")
    .split(/[\\/]/)
    .filter((part) => part !== "" && part !== ".")
    .join("/");
  if (subfolder !== "" && !isSafePath(subfolder))
    throw new ApiError("invalid_request", `The subfolder cannot be taken: ${SAFE_PATH_RULE}`);
  const { tenant } = call.caller;
  const { asset } = await keepAsset(rooms, tenant, upload);
  if (isCloudClient(call)) return { name: contentNameOf(upload), subfolder, type: type.data };
  const file = { assetId: asset.id, sha256: upload.sha256 };
  const isOverwrite = ["true", "1"].includes(field("overwrite") ?? ""); // exactly these, as ComfyUI reads it
  const at = (name: string) => (subfolder === "" ? name : `${subfolder}/${name}`);
  const name = isOverwrite ? upload.name : await freeName(tenant, { upload, uploads, type: type.data, at });
  await uploads.put(tenant, type.data, { path: at(name), file });
  return { name, subfolder, type: type.data };
}

interface Naming {
  readonly upload: Upload;
  readonly uploads: UploadShelf;
  readonly type: UploadFolder;
  readonly at: (name: string) => string;
}

/** The name itself, or the first ` (n)` that is free or has the same bytes already. @throws ApiError `conflict` */
async function freeName(tenant: string, { upload, uploads, type, at }: Naming): Promise<string> {
  const extension = extname(upload.name);
  const stem = upload.name.slice(0, upload.name.length - extension.length);
  const names = Array.from({ length: MOST_NAMES }, (_, count) =>
    count === 0 ? upload.name : `${stem} (${count})${extension}`,
  );
  const taken = await uploads.find(tenant, type, names.map(at));
  const free = names.find((name) => (taken.get(at(name))?.sha256 ?? upload.sha256) === upload.sha256);
  if (free !== undefined) return free;
  throw new ApiError("conflict", `${MOST_NAMES} files have this name already; choose another, or set overwrite`);
}
