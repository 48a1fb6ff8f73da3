import * as z from "zod";
import { findAsset } from "../../objects/keepAsset.ts";
import type { Rooms } from "../../rooms.ts";
import { sha256InName } from "../cloud/contentNames.ts";

export const UploadFolder = z.enum(["input", "temp", "output"]);
export type UploadFolder = z.infer<typeof UploadFolder>;

/** A file as a client of ComfyUI's API knows it. */
const ShelvedFile = z.object({ assetId: z.string(), sha256: z.string() });
type ShelvedFile = z.infer<typeof ShelvedFile>;

/** Files that a tenant has uploaded by ComfyUI's API: names, and the assets they stand for. */
export interface UploadShelf {
  /** Those of these paths (`subfolder/name`) that are there; a name that is made of the bytes is there as soon as they are. */
  find(tenant: string, folder: UploadFolder, paths: readonly string[]): Promise<ReadonlyMap<string, ShelvedFile>>;
  /** @throws ApiError `conflict` when there are too many */
  put(
    tenant: string,
    folder: UploadFolder,
    named: { readonly path: string; readonly file: ShelvedFile },
  ): Promise<void>;
}

/** Of the names in one folder; the files themselves are assets. */
const LIMITS = { notes: 10_000, bytes: 4_000_000 };
/** Names of one question that are looked up by their bytes. */
const MOST_BY_CONTENT = 100;

export function createUploadShelf({ producer, storage }: Pick<Rooms, "producer" | "storage">): UploadShelf {
  return {
    find: async (tenant, folder, paths) => {
      const kept = await producer.notes.some(tenant, `uploads-${folder}`, paths);
      const named = Object.entries(kept).map(([path, text]) => [path, ShelvedFile.parse(JSON.parse(text))] as const);
      return new Map([...(await findByContent(storage, tenant, paths)), ...named]);
    },
    put: (tenant, folder, { path, file }) =>
      producer.notes.put(tenant, `uploads-${folder}`, { name: path, text: JSON.stringify(file), limits: LIMITS }),
  };
}

async function findByContent(storage: Rooms["storage"], tenant: string, paths: readonly string[]) {
  const named = paths.flatMap((path) => {
    const sha256 = sha256InName(path);
    return sha256 === undefined ? [] : [{ path, sha256 }];
  });
  const found = await Promise.all(
    named.slice(0, MOST_BY_CONTENT).map(async ({ path, sha256 }) => {
      const asset = await findAsset(storage, tenant, `sha256:${sha256}`);
      return asset && ([path, { assetId: asset.id, sha256 }] as const);
    }),
  );
  return found.filter((one) => one !== undefined);
}
