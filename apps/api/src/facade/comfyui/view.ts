import { assetKeys, JobId, type StoredFile } from "@comfyq/contract";
import { contentTypeOf } from "@comfyq/storage";
import { ApiError } from "../../errors.ts";
import { readAsset } from "../../objects/keepAsset.ts";
import type { SentObject } from "../../objects/sendObject.ts";
import { sendLink, sendStored } from "../../objects/sendStored.ts";
import type { Rooms } from "../../rooms.ts";
import type { Call, Route } from "../../route.ts";
import { findFlatOutput } from "../cloud/findFlatOutput.ts";
import { isCloudClient } from "../cloud/isCloudClient.ts";
import { comfyRoute } from "./comfyRoute.ts";
import { storedName } from "./promptHistory.ts";
import { UploadFolder, type UploadShelf } from "./uploadShelf.ts";

/**
 * `GET /view`: a job's output or preview, whose subfolder begins with the job's id or whose name says it all, or an uploaded file.
 * Clients of Comfy Cloud are sent a signed link, wherever files are kept: some take nothing else than a 302.
 */
export function viewRoutes(rooms: Rooms, { uploads }: { readonly uploads: UploadShelf }): readonly Route[] {
  return comfyRoute({
    method: "get",
    path: "/view",
    scope: "read",
    summary: "Read a file: ?filename=&subfolder=&type=output|input|temp",
    run: async (call) => {
      const wanted = readAddress(call);
      const found = (await outputAt(rooms, call, wanted)) ?? (await uploadAt(rooms, call, { wanted, uploads }));
      if (!found)
        throw new ApiError("not_found", "There is no such file; send filename, subfolder and type as they were told");
      await (isCloudClient(call) ? sendLink : sendStored)(rooms, call, found);
    },
  });
}

interface ViewAddress {
  readonly filename: string;
  /** Without empty parts. */
  readonly folders: readonly string[];
  readonly type: UploadFolder;
}

/** @throws ApiError `not_found` without a filename, `invalid_request` for what leads elsewhere */
function readAddress({ req }: Call): ViewAddress {
  const text = (name: string) => {
    const value = req.query[name];
    return typeof value === "string" ? value : undefined;
  };
  const named = text("filename");
  if (named === undefined) throw new ApiError("not_found", "There is no filename in the query");
  const [, bare = "", mark] = /^(.*?)(?: \[(output|input|temp)\])?$/s.exec(named) ?? [];
  const type = UploadFolder.safeParse(mark ?? text("type") ?? "output");
  const folders = (text("subfolder") ?? "").split(/[\\/]/).filter((part) => part !== "");
  const parts = [bare, ...folders];
  const isSafe =
    bare !== "" && !bare.startsWith("/") && !parts.some((part) => part.includes("..") || part.includes("\0"));
  if (!type.success || !isSafe)
    throw new ApiError(
      "invalid_request",
      "filename, subfolder and type must be those of a file; none may lead elsewhere",
    );
  return { filename: bare.slice(bare.lastIndexOf("/") + 1), folders, type: type.data };
}

async function outputAt(
  rooms: Rooms,
  call: Call,
  { filename, folders, type }: ViewAddress,
): Promise<SentObject | undefined> {
  const { tenant } = call.caller;
  const flat = await findFlatOutput(rooms, tenant, filename);
  if (flat) return sentAs(filename, flat);
  const [id = "", ...rest] = folders;
  if (type === "input" || !JobId.safeParse(id).success) return undefined;
  const [facts, papers] = await Promise.all([
    rooms.producer.read(tenant, id),
    rooms.producer.prompts.papers(tenant, id),
  ]);
  if (!facts || !papers) return undefined;
  const name = storedName(papers, [type, ...rest, filename].join("/"));
  const output = facts.outputs.find((one) => "key" in one && one.name === name);
  return output && "key" in output ? sentAs(filename, output) : undefined;
}

function sentAs(name: string, { key, content_type: contentType, sha256 }: StoredFile): SentObject {
  return { key, name, contentType, sha256 };
}

async function uploadAt(
  rooms: Rooms,
  call: Call,
  { wanted, uploads }: { readonly wanted: ViewAddress; readonly uploads: UploadShelf },
): Promise<SentObject | undefined> {
  const { tenant } = call.caller;
  const path = [...wanted.folders, wanted.filename].join("/");
  const file = (await uploads.find(tenant, wanted.type, [path])).get(path);
  const asset = file && (await readAsset(rooms.storage, tenant, file.assetId));
  if (!asset) return undefined;
  return {
    key: assetKeys(tenant, asset.id).content,
    name: wanted.filename,
    contentType: contentTypeOf(wanted.filename),
    sha256: asset.hash.replace("sha256:", ""),
  };
}
