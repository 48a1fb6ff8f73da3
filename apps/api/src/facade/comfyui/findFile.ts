import { assetKeys, JobId, type StoredFile } from "@comfyq/contract";
import { contentTypeOf } from "@comfyq/storage";
import { ApiError } from "../../errors.ts";
import { readAsset } from "../../objects/keepAsset.ts";
import type { SentObject } from "../../objects/sendObject.ts";
import type { Rooms } from "../../rooms.ts";
import type { Call } from "../../route.ts";
import { waitForEnd } from "../../submit/preferredWait.ts";
import { findFlatOutput } from "../cloud/findFlatOutput.ts";
import { storedName } from "./promptHistory.ts";
import { UploadFolder, type UploadShelf } from "./uploadShelf.ts";

/** Where a file is, in ComfyUI's words. */
export interface FileAddress {
  readonly filename: string;
  /** Without empty parts. */
  readonly folders: readonly string[];
  readonly type: UploadFolder;
}

interface WrittenAddress {
  /** May end with ` [input]`, ` [temp]` or ` [output]`, which then counts. */
  readonly filename: string;
  readonly subfolder?: string | undefined;
  readonly type?: string | undefined;
}

/** Reads an address as a client wrote it. @throws ApiError `invalid_request` for what leads elsewhere */
export function readAddress({ filename, subfolder = "", type: wanted = "output" }: WrittenAddress): FileAddress {
  const [, bare = "", mark] = /^(.*?)(?: \[(output|input|temp)\])?$/s.exec(filename) ?? [];
  const type = UploadFolder.safeParse(mark ?? wanted);
  const folders = subfolder.split(/[\\/]/).filter((part) => part !== "");
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

/**
 * ComfyUI names a file to its client when the node is done, and here it can be read when the job's files are stored: whoever comes in
 * between waits so long.
 */
const STORING_SECONDS = 30;

/**
 * A job's output or preview, whose subfolder begins with the job's id or whose name says it all, or an uploaded file; undefined when it
 * is not there.
 */
export async function findFile(
  rooms: Rooms,
  call: Call,
  { address, uploads }: { readonly address: FileAddress; readonly uploads: UploadShelf },
): Promise<SentObject | undefined> {
  return (await outputAt(rooms, call, address)) ?? (await uploadAt(rooms, call.caller.tenant, { address, uploads }));
}

async function outputAt(
  rooms: Rooms,
  call: Call,
  { filename, folders, type }: FileAddress,
): Promise<SentObject | undefined> {
  const { tenant } = call.caller;
  const flat = await findFlatOutput(rooms, tenant, filename);
  if (flat) return sentAs(filename, flat);
  const [id = "", ...rest] = folders;
  if (type === "input" || !JobId.safeParse(id).success) return undefined;
  const now = await rooms.producer.read(tenant, id);
  const facts = now?.status === "running" ? await waitForEnd(rooms, call, now, STORING_SECONDS) : now;
  const papers = await rooms.producer.prompts.papers(tenant, id);
  if (!facts || !papers) return undefined;
  const name = storedName(papers, [type, ...rest, filename].join("/"));
  const output = facts.outputs.find((one) => "key" in one && one.name === name);
  return output && "key" in output ? sentAs(filename, output) : undefined;
}

function sentAs(name: string, { key, content_type: contentType, sha256 }: StoredFile): SentObject {
  return { key, name, contentType, sha256 };
}

async function uploadAt(
  { storage }: Rooms,
  tenant: string,
  { address, uploads }: { readonly address: FileAddress; readonly uploads: UploadShelf },
): Promise<SentObject | undefined> {
  const path = [...address.folders, address.filename].join("/");
  const file = (await uploads.find(tenant, address.type, [path])).get(path);
  const asset = file && (await readAsset(storage, tenant, file.assetId));
  if (!asset) return undefined;
  return {
    key: assetKeys(tenant, asset.id).content,
    name: address.filename,
    contentType: contentTypeOf(address.filename),
    sha256: asset.hash.replace("sha256:", ""),
  };
}
