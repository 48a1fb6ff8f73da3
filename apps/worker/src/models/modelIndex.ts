import { open, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { newId } from "@comfyq/runtime";
import * as z from "zod";
import { isSystemError } from "./isSystemError.ts";

/** A file as it was when it was looked at: a change of either means another content. */
const FileFacts = z.object({ size_bytes: z.int().nonnegative(), mtime_ms: z.number() });
export type FileFacts = z.infer<typeof FileFacts>;

/** One model that comfyq put there. */
const OwnModel = FileFacts.extend({
  /** Where it came from, without query and credentials. */
  source: z.string(),
  sha256: z.string(),
  /** Of the file system's clock, in ms. */
  installed_at_ms: z.number(),
  used_at_ms: z.number(),
});

/** What is known of a models folder, by path below it: `loras/style/fox.safetensors`. */
const ModelIndex = z.object({
  v: z.literal(1),
  models: z.record(z.string(), OwnModel),
  /** Under way now, one for each path. `reserved_bytes`: the room that was made for it. */
  downloads: z.record(z.string(), z.object({ id: z.string(), owner: z.string(), reserved_bytes: z.number() })),
  /** By an id for each use: a running or preparing job's. */
  uses: z.record(z.string(), z.object({ owner: z.string(), path: z.string() })),
  /** sha256 of the last model of ours that had this name and has it no more. */
  past: z.record(z.string(), z.string()),
  /** Hashes of files that an operator put there, computed for a job that pins one. */
  seen: z.record(z.string(), FileFacts.extend({ sha256: z.string() })),
});
export type ModelIndex = z.infer<typeof ModelIndex>;

const INDEX_FILE = "index.json";
/** Written by whoever holds the lock: one that another sees is a dead one's. */
export const INDEX_DRAFT = /^index\..+\.tmp$/;

/** The index; empty when there is none. One that cannot be read counts as empty: what it knew is the operator's then. */
export async function readIndex(folder: string): Promise<ModelIndex> {
  try {
    const parsed = ModelIndex.safeParse(JSON.parse(await readFile(join(folder, INDEX_FILE), "utf8")));
    if (parsed.success) return parsed.data;
  } catch (error) {
    if (!(error instanceof SyntaxError) && !isSystemError(error, "ENOENT")) throw error;
  }
  return { v: 1, models: {}, downloads: {}, uses: {}, past: {}, seen: {} };
}

/** Replaces the index in one step. Only under the lock. */
export async function writeIndex(folder: string, index: ModelIndex): Promise<void> {
  const draft = join(folder, `index.${newId()}.tmp`);
  const file = await open(draft, "wx", 0o644);
  try {
    await file.writeFile(JSON.stringify(index, null, 1));
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(draft, join(folder, INDEX_FILE));
}

/** Is it the file that these facts were taken of? */
export function isSameFile(a: FileFacts, b: FileFacts): boolean {
  return a.size_bytes === b.size_bytes && a.mtime_ms === b.mtime_ms;
}

/** Takes a model of ours out of the index; its content is remembered, for ComfyUI may still have it in memory. */
export function forgetModel(index: ModelIndex, path: string): void {
  const own = index.models[path];
  if (own) index.past[path] = own.sha256;
  delete index.models[path];
}

/** Had this name another content before? */
export function hasPast(index: ModelIndex, path: string, sha256: string | undefined): boolean {
  return index.past[path] !== undefined && index.past[path] !== sha256;
}

/** Does a job of a living worker use it, or is it being downloaded? */
export function isInUse(index: ModelIndex, path: string): boolean {
  return path in index.downloads || Object.values(index.uses).some((use) => use.path === path);
}
