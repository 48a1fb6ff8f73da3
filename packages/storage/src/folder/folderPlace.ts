import { randomUUID } from "node:crypto";
import { mkdir, open, realpath, rename, rmdir } from "node:fs/promises";
import { dirname, join, sep } from "node:path";
import { pathToFileURL } from "node:url";
import { checkKey, RESERVED_SEGMENT } from "../checkKey.ts";
import { type Doing, storageError } from "../storageError.ts";
import { errnoOf } from "./folderError.ts";

/** Another caller may prune an empty folder while we make it or before we use it. */
const MOST_TRIES = 20;

/** The paths of one folder store. Nothing is made before the first write. */
export class FolderPlace {
  /** `file:///folder` */
  readonly place: string;
  readonly root: string;
  /** Where bytes wait until they are complete: below the root, because a rename must stay in one file system. */
  readonly drafts: string;
  #ready: Promise<void> | undefined;

  constructor(root: string) {
    this.root = root;
    this.place = pathToFileURL(root).href;
    this.drafts = join(root, RESERVED_SEGMENT, "drafts");
  }

  doing(what: string, key?: string): Doing {
    return { what, place: this.place, ...(key !== undefined && { key }) };
  }

  /** The path of an object. @throws StorageError `invalid_key` */
  pathOf(key: string): string {
    return join(this.root, ...checkKey(key).split("/"));
  }

  /** A path for bytes that are not an object yet. Makes the root once; later its absence is an error. */
  async newDraft(): Promise<string> {
    this.#ready ??= mkdir(this.drafts, { recursive: true }).then(() => {});
    try {
      await this.#ready;
    } catch (error) {
      this.#ready = undefined;
      throw error;
    }
    return join(this.drafts, randomUUID());
  }

  /**
   * Makes the folders of an object, puts it there with `move`, and makes both durable.
   * @throws StorageError `invalid_key` when a symbolic link would lead outside of the root; errors of `move`
   */
  async settle(key: string, move: (path: string) => Promise<void>): Promise<void> {
    const path = this.pathOf(key);
    for (let tries = 1; ; tries++) {
      await this.assertInside(key);
      try {
        const made = await mkdir(dirname(path), { recursive: true });
        await move(path);
        await syncFolders(dirname(path), made === undefined ? dirname(path) : dirname(made));
        return;
      } catch (error) {
        if (errnoOf(error) !== "ENOENT" || tries === MOST_TRIES) throw error;
      }
    }
  }

  /** @throws StorageError `invalid_key` when the object's folder is not really below the root */
  async assertInside(key: string): Promise<void> {
    const root = await realpathOfExisting(this.root);
    const real = await realpathOfExisting(dirname(this.pathOf(key)));
    if (real === root || real.startsWith(root + sep)) return;
    const detail = "a symbolic link leads out of the folder";
    throw storageError("invalid_key", this.doing("use", key), { detail });
  }

  /** Removes the folders above an object while they are empty, up to the root. */
  async prune(key: string): Promise<void> {
    const root = this.root;
    for (let folder = dirname(this.pathOf(key)); folder.startsWith(root + sep); folder = dirname(folder)) {
      try {
        await rmdir(folder);
      } catch {
        return; // not empty, or somebody else was faster
      }
    }
  }
}

/** Renames a finished draft to its object. */
export function renameTo(draft: string): (path: string) => Promise<void> {
  return (path) => rename(draft, path);
}

async function realpathOfExisting(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    const above = dirname(path);
    if (errnoOf(error) !== "ENOENT" || above === path) throw error;
    return realpathOfExisting(above);
  }
}

/** Makes the names in `deepest` and in every folder above it, up to `top`, survive a power failure. */
async function syncFolders(deepest: string, top: string): Promise<void> {
  for (let folder = deepest; ; folder = dirname(folder)) {
    await syncFolder(folder);
    if (folder === top || folder === dirname(folder)) return;
  }
}

async function syncFolder(path: string): Promise<void> {
  if (process.platform === "win32") return; // Windows opens no folders
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
