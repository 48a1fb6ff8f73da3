import * as z from "zod";
import type { Rooms } from "../../rooms.ts";

export const UploadFolder = z.enum(["input", "temp", "output"]);
export type UploadFolder = z.infer<typeof UploadFolder>;

/** A file as a client of ComfyUI's API knows it. */
const ShelvedFile = z.object({ assetId: z.string(), sha256: z.string() });
type ShelvedFile = z.infer<typeof ShelvedFile>;

/** Files that a tenant has uploaded by ComfyUI's API: names, and the assets they stand for. */
export interface UploadShelf {
  /** Those of these paths (`subfolder/name`) that are there. */
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

export function createUploadShelf({ producer }: Pick<Rooms, "producer">): UploadShelf {
  return {
    find: async (tenant, folder, paths) => {
      const kept = await producer.notes.some(tenant, `uploads-${folder}`, paths);
      return new Map(Object.entries(kept).map(([path, text]) => [path, ShelvedFile.parse(JSON.parse(text))]));
    },
    put: (tenant, folder, { path, file }) =>
      producer.notes.put(tenant, `uploads-${folder}`, { name: path, text: JSON.stringify(file), limits: LIMITS }),
  };
}
