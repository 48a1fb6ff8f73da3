import { open, rm, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PythonError } from "@comfyq/comfyui/wire";
import type { FaultBoard } from "../faults/FaultBoard.ts";
import { type Folders, type SavePlace, savePlace } from "./Folders.ts";

/** A file as history shows it. */
export interface SavedFile {
  readonly filename: string;
  readonly subfolder: string;
  readonly type: "output" | "temp";
}

/** Where and under which name to save. */
export interface SaveRequest {
  readonly prefix: string;
  readonly type: "output" | "temp";
  /** With its dot. */
  readonly extension: string;
  /** What stands after the number: `_` for pictures and video, nothing for sound (comfy_extras/nodes_audio.py). */
  readonly ending?: "_" | "";
  readonly width?: number;
  readonly height?: number;
}

/** The content of a file: all of it, or piece by piece when it is large. */
export type FileContent = Uint8Array | Iterable<Uint8Array>;

/** What Python raises when a disk is full. */
const diskFull = (): PythonError => new PythonError("OSError", "[Errno 28] No space left on device");

/** Writes what nodes make, and lets the faults `disk_full`, `output_missing` and `output_truncated` spoil it. */
export class OutputFiles {
  readonly #folders: Folders;
  readonly #faults: FaultBoard;
  readonly #now: () => Date;

  constructor(folders: Folders, faults: FaultBoard, now: () => Date) {
    this.#folders = folders;
    this.#faults = faults;
    this.#now = now;
  }

  /**
   * Saves one file for each content, numbered one after the other.
   * @throws PythonError when the prefix leads out of the folder, or the disk is full
   */
  async save(request: SaveRequest, contents: readonly FileContent[]): Promise<SavedFile[]> {
    const place = this.#placeFor(request);
    const saved: SavedFile[] = [];
    for (const [index, content] of contents.entries()) {
      saved.push(await this.#saveAt({ ...place, counter: place.counter + index }, { ...request, index }, content));
    }
    return saved;
  }

  /**
   * Saves files under one number and different extensions.
   * @throws PythonError when the prefix leads out of the folder, or the disk is full
   */
  async saveTogether(
    request: Omit<SaveRequest, "extension">,
    contents: ReadonlyMap<string, FileContent>,
  ): Promise<SavedFile[]> {
    const place = this.#placeFor(request);
    const saved: SavedFile[] = [];
    for (const [extension, content] of contents) {
      saved.push(await this.#saveAt(place, { ...request, extension, index: 0 }, content));
    }
    return saved;
  }

  #placeFor(request: Omit<SaveRequest, "extension">): SavePlace {
    return savePlace(this.#folders.pathOf(request.type), expanded(request, this.#now()));
  }

  async #saveAt(
    place: SavePlace,
    { type, ending = "_", extension, index }: SaveRequest & { readonly index: number },
    content: FileContent,
  ): Promise<SavedFile> {
    const name = place.name.replaceAll("%batch_num%", String(index));
    const filename = `${name}_${String(place.counter).padStart(5, "0")}${ending}${extension}`;
    const path = join(place.folder, filename);
    if (this.#faults.strike("disk_full")) {
      await writeFile(path, ""); // it could still be opened
      throw diskFull();
    }
    await write(path, content);
    await this.#spoil(path);
    return { filename, subfolder: place.subfolder, type };
  }

  async #spoil(path: string): Promise<void> {
    if (this.#faults.strike("output_missing")) await rm(path);
    else if (this.#faults.strike("output_truncated")) await truncate(path, Math.floor((await stat(path)).size / 2));
  }
}

async function write(path: string, content: FileContent): Promise<void> {
  if (content instanceof Uint8Array) return writeFile(path, content);
  const file = await open(path, "w");
  try {
    for (const piece of content) await file.write(piece);
  } finally {
    await file.close();
  }
}

/** Replaces `%year%` and its like; `%date…%` is the browser's business (folder_paths.py compute_vars). */
function expanded({ prefix, width = 0, height = 0 }: Omit<SaveRequest, "extension">, now: Date): string {
  const two = (value: number): string => String(value).padStart(2, "0");
  const words: Readonly<Record<string, string>> = {
    width: String(width),
    height: String(height),
    year: String(now.getFullYear()),
    month: two(now.getMonth() + 1),
    day: two(now.getDate()),
    hour: two(now.getHours()),
    minute: two(now.getMinutes()),
    second: two(now.getSeconds()),
  };
  return prefix.replace(/%(\w+)%/g, (whole, word: string) => words[word] ?? whole);
}
